"""`tidemill connection list` and `delete`: who uses connections, and what becomes of that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import typer

from tidemill.cli import asking, output, session

if TYPE_CHECKING:
    from tidemill.connection_users import Use
    from tidemill.connections.standing import Standing

DATE_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
Kind = Literal["export", "sync", "import", "nothing"]


def list_(
    connected_on: str = typer.Option(
        None,
        metavar="FROM[..TO]",
        help="Only those made on that day, or on one from a first to a last: 2026-01-01..2026-01-31.",
    ),
    connected_after: dt.datetime = typer.Option(None, formats=DATE_FORMATS, help="Only those made after that moment."),
    connected_before: dt.datetime = typer.Option(None, formats=DATE_FORMATS, help="Only those made before it."),
    connected_by: str = typer.Option(None, help="Only those made by that user."),
    used_by: Kind = typer.Option(None, help="Only those that such a thing uses; nothing: those that nothing uses."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List connections: how each stands and when that was seen, what uses it, when and by whom it was made."""
    from tidemill.connections.spec import days

    first, end = days(connected_on) if connected_on is not None else (None, None)
    after = [moment for moment in (first, _aware(connected_after)) if moment]
    before = [moment for moment in (end, _aware(connected_before)) if moment]
    with session.app() as opened:
        found = opened.connections.find(
            after=max(after, default=None), before=min(before, default=None), by=connected_by
        )
        counts, stand = opened.connection_users.counts(), opened.connection_users.standings()
    used = {one.id: dict(counts.get(one.id, {})) for one in found}
    found = [one for one in found if used_by is None or _is_used(used[one.id], used_by)]
    if as_json:
        output.print_json([{**vars(one), "status": short(stand.get(one.id)), "used_by": used[one.id]} for one in found])
        return
    columns = ("NAME", "STATUS", "SEEN", "PROJECT", "DATASET", "LOCATION", "ACCOUNT", "USED BY", "CONNECTED ON", "BY")
    rows = [
        (
            *(c.name, how.state if how else None, how.at if how else None, c.project, c.dataset, c.location),
            *(c.account, _said(used[c.id]), c.connected_at, c.connected_by),
        )
        for c in found
        for how in [stand.get(c.id)]
    ]
    chosen = any((connected_on, connected_after, connected_before, connected_by, used_by))
    empty = "No connection is such." if chosen else "No connections. Make one: tidemill connection add --help"
    output.print_table(columns, rows, empty=empty)


def short(how: Standing | None) -> dict[str, Any] | None:
    """How a connection stands, without what that is known by; None: it was made a moment ago."""
    return {name: getattr(how, name) for name in ("state", "at", "message", "hint")} if how else None


def _aware(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.astimezone() if moment else None


def _is_used(counts: Mapping[str, int], by: str) -> bool:
    """A stream is an export."""
    if by == "nothing":
        return not sum(counts.values())
    return bool(counts.get(by) or (by == "export" and counts.get("stream")))


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(output.number(count, kind) for kind, count in counts.items() if count) or "nothing"


def delete(
    name: str = typer.Argument(help="Name of the connection."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what uses it, and what of that runs now."),
    wait: float = typer.Option(
        120.0, min=0, metavar="SECONDS", help="How long is waited until all that runs has stopped."
    ),
    force: bool = typer.Option(
        False, "--force", help="Delete it also if BigQuery does not answer whether it is at jobs of ours."
    ),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Delete a connection and its credential, with all that uses it.

    What uses it is shown, with what of that runs now. After a confirmation all of it is stopped, BigQuery jobs too,
    and waited for; then it is deleted, and the connection.

    Tables stay in BigQuery; what is remembered of the rows of syncs does not. If it is broken off, type it again:
    until then nothing new is begun on the connection.
    """
    with session.app() as opened:
        connection = opened.connections.get(name)
        uses = opened.connection_users.uses(name)
        if dry_run:
            _show(connection.name, uses, as_json=as_json)
            return
        if not as_json:
            _show(connection.name, uses)
        if connection.deleting_at is not None:
            output.note(f"Its deletion was begun at {output.text(connection.deleting_at)}; it is gone on with.")
        if any(use.kind == "import" for use in uses) and not as_json:
            output.note(
                "What imports have brought stays, and cannot be taken back then: tidemill import undo does that."
            )
        if not yes:
            _confirm(connection.name, uses)
        deleted = opened.connection_users.delete(name, by=session.user(), say=_progress, wait_seconds=wait, force=force)
    for remark in deleted.remarks:
        output.note(remark)
    if as_json:
        output.print_json(deleted)
    else:
        output.done(f"Connection {deleted.connection} is deleted.")


def _progress(text: str) -> None:
    output.say(output.safe(text))


def _confirm(name: str, uses: Sequence[Use]) -> None:
    if not uses:
        asking.confirm(f"Delete the connection {name} and its credential?")
        return
    asking.confirm_name(f"All of this is stopped and deleted. Type the name of the connection to go on ({name})", name)


def _show(name: str, uses: Sequence[Use], *, as_json: bool = False) -> None:
    if as_json:
        found: dict[str, Any] = {"connection": name, "uses": uses}
        output.print_json(found)
        return
    rows = [(use.kind, use.name, ", ".join(use.at_work)) for use in uses]
    output.print_table(("USED BY", "NAME", "RUNS NOW"), rows, empty=f"Nothing uses the connection {output.safe(name)}.")
