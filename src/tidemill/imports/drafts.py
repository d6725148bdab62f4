"""What a user says of an import, checked against the columns of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pydantic

from tidemill import invalid
from tidemill.bigquery import ga4
from tidemill.destinations.port import Mode
from tidemill.errors import ConfigError
from tidemill.imports.spec import ImportSpec, Kind, Taken, TimeFormat
from tidemill.reverse_etl.service import SyncView
from tidemill.reverse_etl.spec import Extraction, Order
from tidemill.schedules import telling

_UNITS: dict[TimeFormat, Literal["seconds", "milliseconds", "microseconds"]] = {
    TimeFormat.SECONDS: "seconds",
    TimeFormat.MILLISECONDS: "milliseconds",
    TimeFormat.MICROSECONDS: "microseconds",
}
#: What stands in a format for a part of a time, and in those of SQL. The longer ones come first.
_PARTS = (("yyyy", "%Y"), ("MMM", "%b"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"))


def cursor(of_ga4: Any) -> dict[str, Any]:
    """How rows of an export of Google Analytics 4 are found: by days, the last of which are looked at again."""
    if of_ga4 is None:
        return {}
    return {
        "extraction": Extraction.CURSOR.value,
        "cursor": ga4.CURSOR,
        "cursor_overlap": ga4.OVERLAP_DAYS,
    }


def made(fields: Mapping[str, Any]) -> ImportSpec:
    """What is made of rows, of these fields; ConfigError if one is wrong."""
    try:
        return ImportSpec(**fields)
    except pydantic.ValidationError as error:
        raise invalid.said(error, ImportSpec, "import") from None


def is_draft(name: str) -> ConfigError:
    """That an import cannot do yet what it is asked to."""
    return ConfigError(
        "import_draft",
        f"{name} is a draft: it is not said what becomes of its rows.",
        hint=f"Say so: {telling.command('import map', name)} --help",
    )


def columns(spec: ImportSpec, names: Sequence[str]) -> set[str]:
    """The columns of the model that are read; a path into a STRUCT begins with one.

    Raises
    ------
    ConfigError
        There is no such column.
    """
    found, known = set(), set(names)
    for path in spec.read:
        column = path if path in known else path.partition(".")[0]
        if column not in known:
            raise ConfigError("column_unknown", f"There is no column {path!r}.", hint=f"Columns: {', '.join(names)}.")
        found.add(column)
    if unknown := [name for name in spec.skipped if name not in known]:
        raise ConfigError("column_unknown", f"There is no column {unknown[0]!r}.", hint=f"Columns: {', '.join(names)}.")
    return found


def mode(sync: SyncView, taken: Taken, spec: ImportSpec) -> str:
    """What is delivered, if it is not said: as before, or what is usual."""
    if taken.spec is not None and taken.spec.kind is spec.kind:
        return sync.spec.mode.value
    return Mode.UPSERT.value if spec.kind is Kind.PEOPLE else Mode.INSERT.value


def mode_of(text: str) -> Mode:
    """The mode of that name; ConfigError if there is none."""
    try:
        return Mode(text)
    except ValueError:
        known = ", ".join(one.value for one in Mode)
        raise ConfigError("sync_mode", f"There is no mode {text!r}.", hint=f"One of: {known}.") from None


def assert_known(spec: ImportSpec, mode: Mode, key: Sequence[str]) -> None:
    """Raise ConfigError if of people who vanish from the rows it could not be told who they are, or whether another row
    is of them."""
    identity = spec.identity or spec.person_id
    if mode is Mode.MIRROR and spec.kind is Kind.PEOPLE and list(key) != [identity]:
        raise ConfigError(
            "import_mirror_key",
            "Who is gone from the rows is deleted, so a mirror of people has one row for each: its key must be "
            f"{identity} alone, and is {', '.join(key)}.",
            hint=f"Make the import with --key {identity}; or take --mode upsert.",
        )


def order(spec: ImportSpec) -> Order | None:
    """In which order rows are taken: events from the oldest on."""
    if spec.time is None:
        return None
    unit, pattern = _UNITS.get(spec.time_format), None
    if unit is None and spec.time_format is not TimeFormat.AUTO:
        pattern = spec.time_format.value
        for part, directive in _PARTS:
            pattern = pattern.replace(part, directive)
    return Order(column=spec.time, unit=unit, pattern=pattern)


def assert_whole(spec: ImportSpec, names: Sequence[str]) -> None:
    """Raise ConfigError if a column is neither mapped nor skipped."""
    read = {*columns(spec, names), *spec.skipped}
    if left := [name for name in names if name not in read]:
        raise ConfigError(
            "column_left",
            f"It is not said what becomes of {', '.join(left)}.",
            hint=f"Map each, --map {left[0]}, or leave it out: --skip {left[0]}; --skip-others leaves out all.",
        )


def assert_resent(name: str, taken: Taken, spec: ImportSpec, mode: Mode) -> None:
    """Raise ConfigError if rows that are taken anew would change nothing: an event is known by its id."""
    if taken.spec is None or spec.kind is not Kind.EVENTS or mode is Mode.MIRROR:
        return
    raise ConfigError(
        "import_events_stay",
        "Events that are here already stay as they are, however their rows are mapped.",
        hint=f"Take them back first, {telling.command('import undo', name)}; or --leave: what comes is mapped anew.",
    )
