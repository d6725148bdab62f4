"""Imports, as they are printed."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from tidemill.cli import files, output

if TYPE_CHECKING:
    from tidemill.imports.service import DryRun, ImportView, Wrong
    from tidemill.reverse_etl.service import Preview

_STATUSES = ("draft", "ready", "scheduled", "running", "paused", "stopped", "completed")
_KINDS = ("people", "events", "deletions")
_COLORS = {"green": "green", "yellow": "yellow", "red": "red"}
_REFUSED = 6
_ERRORS = 20
#: Characters of a cell of a table that shows rows; --json has all.
_WIDEST = 40
#: What is counted of places that are no tables, and what was done to it.
_UNDONE = {"events": ("event", "deleted"), "persons": ("person", "changed")}


def assert_choices(status: Sequence[str], kind: str | None) -> None:
    """Raise ConfigError if one of these is none."""
    from tidemill.errors import ConfigError

    for option, value, known in [*(("--status", one, _STATUSES) for one in status), ("--type", kind, _KINDS)]:
        if value is not None and value not in known:
            raise ConfigError("filter", f"{option} {value}: there is none such.", hint=f"One of {', '.join(known)}.")


def days(text: str) -> tuple[dt.datetime, dt.datetime]:
    """The time of days that were typed: one, or the first and the last."""
    from tidemill.errors import ConfigError

    first, _, last = text.partition("..")
    try:
        start, end = (dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) for day in (first, last or first))
        return start, end + dt.timedelta(days=1)
    except (ValueError, OverflowError):
        raise ConfigError(
            "filter", f"{text!r} are no days.", hint="Write 2026-01-31, or 2026-01-01..2026-01-31."
        ) from None


def day(text: str | None) -> dt.date | None:
    """A day that was typed."""
    from tidemill.errors import ConfigError

    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError("day", f"{text!r} is no day.", hint="Write 2026-01-31.") from None


def print_preview(found: Preview, *, as_json: bool) -> None:
    """The first rows."""
    if as_json:
        output.print_json(found)
        return
    rows = [[_cut(_cell(row.get(column))) for column in found.columns] for row in found.rows]
    output.print_table(found.columns, rows, empty="There are no rows.")
    output.note(f"Billed for {output.size(found.bytes_billed)}.")


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    """As much of it as a table can have beside other columns."""
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def say_mapped(made: ImportView) -> None:
    """What becomes of the rows."""
    output.done(f"{made.name}: rows become {made.kind}.")
    if made.spec is not None:
        _mapping(made)


def _mapping(made: ImportView) -> None:
    spec = made.spec
    assert spec is not None  # noqa: S101 - it is mapped
    named = {
        "distinct_id": spec.identity,
        "person id": spec.person_id,
        "event": spec.event_column,
        "time": spec.time,
        "insert_id": spec.insert_id,
    }
    rows = [(column, what, "") for what, column in named.items() if column is not None]
    rows += [("", f"event {spec.event}", "")] if spec.event else []
    rows += [
        (one.column, f"property {one.name}", one.type.value + (f" {one.format.value}" if one.type == "date" else ""))
        for one in spec.properties
    ]
    rows += [(column, "skipped", "") for column in spec.skipped]
    output.print_table(("COLUMN", "BECOMES", "AS"), rows, empty="")


def print_dry_run(name: str, found: DryRun, *, as_json: bool) -> None:
    """What would become of rows. Raises Exit if some would be refused."""
    if as_json:
        output.print_json(found)
    else:
        _say_dry_run(name, found)
    if found.good + found.left_out < found.rows:
        raise typer.Exit(_REFUSED)


def _say_dry_run(name: str, found: DryRun) -> None:
    counts = found.counts
    output.say(
        f"A run would take {output.number(counts['extracted'], 'row')}: {counts['added']:,} added, "
        f"{counts['updated']:,} updated, {counts['deleted']:,} deleted; "
        f"{counts['invalid']:,} cannot be taken for their keys."
    )
    marks = {True: "[green]✓[/]", False: "[red]✗[/]"}
    rows = [
        (
            "✓" if not one.bad else "✗",
            one.column,
            one.target,
            one.kind,
            f"{one.rows - one.bad:,} of {one.rows:,}",
            _cut(_cell(one.read)),
            "-" if one.bad == one.rows else _cut(_cell(one.stored)),
        )
        for one in found.verdicts
    ]
    output.print_table(("", "COLUMN", "BECOMES", "TYPE", "FIT", "READ", "STORED"), rows, empty="No row was tried.")
    for error in found.errors[:_ERRORS]:
        output.say(f"{marks[False]} row {output.safe(error.key)}: {output.safe(error.message)}")
    if len(found.errors) > _ERRORS:
        output.say(f"… and {len(found.errors) - _ERRORS:,} more (--json shows all).")
    mark = marks[found.good == found.rows]
    output.say(f"{mark} {found.good:,} of {output.number(found.rows, 'random row')} would be taken.")
    if found.written and found.good:
        output.done(f"{output.number(found.good, 'row')} taken in.")
    output.note(f"Billed for {output.size(found.bytes_billed)} (about ${found.dollars:.4f}).")
    if not found.written and found.good:
        output.note(f"Run it: {output.command('import run', name)}")


def print_imports(found: Sequence[ImportView], *, as_json: bool) -> None:
    """All of them."""
    if as_json:
        output.print_json(list(found))
        return
    rows = [
        (
            one.name,
            one.kind or "",
            one.connection,
            one.status,
            _health(one),
            one.interval,
            one.last.began_at if one.last else None,
            one.made_at,
            one.made_by,
        )
        for one in found
    ]
    columns = ("NAME", "TYPE", "CONNECTION", "STATUS", "HEALTH", "EVERY", "LAST RUN", "CREATED ON", "CREATED BY")
    output.print_table(columns, rows, empty="No imports. Make one: tidemill import create --help")


def _health(one: ImportView) -> str:
    return "" if one.health is None else f"{one.health} ({one.succeeded:g}%)"


def print_import(found: ImportView, *, as_json: bool) -> None:
    """One of them."""
    if as_json:
        output.print_json(found)
        return
    output.print_fields(
        {
            "name": found.name,
            "type": found.kind,
            "status": found.status,
            "health": _health(found) or None,
            "connection": found.connection,
            "rows of": found.model,
            "mode": found.mode,
            "extraction": _extraction(found),
            "people": "those who are known alone" if found.spec and found.spec.existing_only else "all",
            "every": "once" if found.once else found.interval,
            "max bytes billed": output.size(found.max_bytes_billed) if found.max_bytes_billed else "no limit",
            "next run": found.next_at,
            "why": (found.pause_reason or {}).get("message"),
            "last run": _last(found),
            "not taken": ", ".join(f"{number:,} {status}" for status, number in found.rejects.items()) or None,
            "created on": found.made_at,
            "created by": found.made_by,
        }
    )
    if found.spec is not None:
        _mapping(found)


def _extraction(found: ImportView) -> str:
    by = f" by {found.cursor}" if found.cursor else ""
    overlap = f", {found.cursor_overlap} looked back" if found.cursor_overlap else ""
    return f"{found.extraction}{by}{overlap}"


def _last(found: ImportView) -> str | None:
    last = found.last
    return f"{last.number}: {last.status}, {last.written:,} of {last.extracted:,} rows taken" if last else None


@contextlib.contextmanager
def read_rows(path: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """Rows of a file, each with key and row, for the time of the block. All are looked at before the first is given.

    Raises
    ------
    ConfigError
        A line is none.
    """
    with files.opened(str(path)) as file:
        for _ in _rows(path, file):
            pass
        file.seek(0)
        yield _rows(path, file)


def _rows(path: Path, file: IO[bytes]) -> Iterator[dict[str, Any]]:
    from tidemill.errors import ConfigError

    for number, line in enumerate(file, 1):  # by "\n" alone: a text may have other ends of lines
        if not line.strip():
            continue
        try:
            found = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not {"key", "row"} <= found.keys() or not _is_row(found["row"]):
            raise ConfigError(
                "rejects_file",
                f"{path}, line {number}: it is no JSON object with key and row.",
                hint="Repair the file that import rejects export writes.",
            )
        yield {"key": found["key"], "row": found["row"]}


def _is_row(row: Any) -> bool:
    return row is None or isinstance(row, dict)  # export writes null where no columns are kept


def print_repaired(number: int, errors: Sequence[Wrong], *, as_json: bool) -> None:
    """What came of rows that were repaired. Raises Exit if some are refused still."""
    if as_json:
        output.print_json({"taken": number, "errors": list(errors)})
    else:
        output.done(f"{output.number(number, 'row')} taken.")
        for error in errors[:_ERRORS]:
            output.say(f"[red]✗[/] row {output.safe(error.key)}: {output.safe(error.message)}")
    if errors:
        raise typer.Exit(_REFUSED)


def say_undone(place: Any) -> None:
    """What was done to one place."""
    if place.error is not None:
        output.say(f"[red]✗[/] {output.safe(place.place)}: {output.safe(place.error.message)}")
    else:
        thing, done = _UNDONE.get(place.place, ("row", "deleted"))
        output.done(f"{place.place}: {output.number(place.rows, thing)} {done}")
