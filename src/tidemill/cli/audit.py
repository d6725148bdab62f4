"""`tidemill audit`: who did what."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import typer

from tidemill.cli import output, session

app = typer.Typer(
    no_args_is_help=True, help="Who did what, when, from where: at the command line, by the API and in the web app."
)
_ACTOR = typer.Option(None, "--by", help="Only what that user, or token, did.")
_ACTION = typer.Option(None, help="Only that: export.edit, connection.delete.")
_KIND = typer.Option(None, help="Only what was done to things of that kind: export, connection, sync, user.")
_NAME = typer.Option(None, help="Only what was done to the thing of that name.")
_AFTER = typer.Option(None, help="Only since then: 2026-11-27, or 2026-11-27T06:00:00. UTC, unless it says otherwise.")
_BEFORE = typer.Option(None, help="Only before then.")


@app.command("list", epilog="Example: tidemill audit list --kind connection --by anna")
def list_(
    by: str = _ACTOR,
    action: str = _ACTION,
    kind: str = _KIND,
    name: str = _NAME,
    after: str = _AFTER,
    before: str = _BEFORE,
    limit: int = typer.Option(50, min=1, max=1000, help="How many, of the newest."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List what was done, the newest first."""
    wanted = _wanted(by, action, kind, name, after, before)
    with session.app() as opened:
        found = opened.audit.find(limit=limit, **wanted)
    if as_json:
        output.print_json(found)
        return
    rows = [(r.at, r.actor, r.actor_kind, r.address, r.action, r.name, r.outcome, r.code) for r in found]
    columns = ("WHEN", "WHO", "AS", "FROM", "WHAT", "NAME", "OUTCOME", "ERROR")
    output.print_table(columns, rows, empty="Nothing like that was done.")


@app.command(epilog="Example: tidemill audit export audit.csv --after 2026-01-01")
def export(
    file: Path = typer.Argument(help="Where to: a file that ends in .csv, or in .jsonl."),
    by: str = _ACTOR,
    action: str = _ACTION,
    kind: str = _KIND,
    name: str = _NAME,
    after: str = _AFTER,
    before: str = _BEFORE,
) -> None:
    """Write all of it into a file, with before and after."""
    from tidemill import atomic

    wanted = _wanted(by, action, kind, name, after, before)
    with session.app() as opened, atomic.writing(file) as out:
        for line in opened.audit.export("csv" if file.suffix.lower() == ".csv" else "json", **wanted):
            out.write(line.encode("utf-8", "surrogatepass"))
    output.done(f"Written: {file}")


def _wanted(
    by: str | None, action: str | None, kind: str | None, name: str | None, after: str | None, before: str | None
) -> dict[str, Any]:
    wanted = {"actor": by, "action": action, "kind": kind, "name": name, "after": _time(after), "before": _time(before)}
    return {field: value for field, value in wanted.items() if value is not None}


def _time(text: str | None) -> dt.datetime | None:
    from tidemill.errors import ConfigError

    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("time_invalid", f"{text!r} is no time.", hint="Write it as 2026-11-27T06:00:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
