"""`tidemill import map`: what becomes of the rows of an import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import imports_view, named, output, sync

if TYPE_CHECKING:
    from tidemill.imports.service import ImportService, ImportView

_TYPES = "auto, string, integer, float, boolean, date, json, key-values"
_FORMATS = (
    "auto, epoch-seconds, epoch-milliseconds, epoch-microseconds, 'dd/MM/yyyy HH:mm:ss', 'MM/dd/yyyy HH:mm:ss', "
    "'yyyy/dd/MM HH:mm:ss', 'yyyy/MM/dd HH:mm:ss', 'dd MMM yyyy HH:mm:ss', dd/MM/yyyy, MM/dd/yyyy, yyyy/dd/MM, "
    "yyyy/MM/dd, ddMMMyyyy"
)
#: COLUMN, COLUMN=PROPERTY, COLUMN:TYPE, COLUMN=PROPERTY:TYPE:FORMAT
_PAIR = re.compile(
    r"(?P<column>[^=:]+)(?:=(?P<name>.+?))?"
    rf"(?::(?P<type>{_TYPES.replace(', ', '|')})(?::(?P<format>.+))?)?"
)
_KNOWN_FORMATS = {one.strip(" '") for one in _FORMATS.split(",")}
_NAME = typer.Argument(help="Name of the import.")


def map_(
    name: str = _NAME,
    people: bool = typer.Option(False, "--people", help="Each row sets properties of a person."),
    events: bool = typer.Option(False, "--events", help="Each row is an event."),
    deletions: bool = typer.Option(False, "--deletions", help="Each row names a person that is to be deleted."),
    suggest: bool = typer.Option(False, "--suggest", help="What is not said is taken from names and types of columns."),
    identity: str = typer.Option(None, help="Column with the person's distinct_id."),
    person_id: str = typer.Option(None, help="Instead: column with the person's id in Tidemill; others are refused."),
    event: str = typer.Option(None, help="Name of all events."),
    event_column: str = typer.Option(None, help="Instead: column with the name of the event."),
    time: str = typer.Option(None, help="Column with the time of the event. Without: when it is imported."),
    time_format: str = typer.Option(None, help=f"How it is written: {_FORMATS}."),
    insert_id: str = typer.Option(None, help="Column with an id by which an event counts once. Default: the key."),
    pairs: list[str] = typer.Option(
        [],
        "--map",
        help="COLUMN, COLUMN=PROPERTY, COLUMN=PROPERTY:TYPE or COLUMN=PROPERTY:date:FORMAT. May be repeated. "
        f"Types: {_TYPES}. A column that is a STRUCT may be named by its fields: geo.country. "
        "PROPERTY * makes each member of a JSON object, or of key-values, a property of its own.",
    ),
    map_others: bool = typer.Option(False, "--map-others", help="All other columns are properties of their names."),
    skip: list[str] = typer.Option([], help="A column that is left out. May be repeated."),
    skip_others: bool = typer.Option(False, "--skip-others", help="All other columns are left out."),
    existing_only: bool = typer.Option(None, "--existing-only/--all-people", help="Leave out who is not known."),
    team: int = typer.Option(None, min=0, help="Team (project) of the people and events. Default: 1."),
    mode: str = typer.Option(
        None, help="People: upsert, insert, update, mirror; events: insert, mirror. Default: the first."
    ),
    extraction: str = typer.Option(None, help="How rows are found: diff, cursor, or full (all, each time)."),
    cursor: str = typer.Option(None, help="Column that grows with each change (Updated On): extraction by cursor."),
    cursor_unit: str = sync.CURSOR_UNIT,
    cursor_overlap: int = sync.CURSOR_OVERLAP,
    resend: bool = typer.Option(
        False, "--resend", help="If it changes: take all rows anew; not of events that are not mirrored."
    ),
    leave: bool = typer.Option(False, "--leave", help="If it changes: leave what was taken as it is."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Say what becomes of the rows: people, events or deletions. Each column is mapped or skipped."""
    given = dict(locals())
    kind = _kind(people=people, events=events, deletions=deletions)
    with named.app(name) as opened:
        imports = opened.imports
        fields = _fields(given)
        growing = None
        if suggest:
            growing, fields = _suggested(imports, name, kind, fields)
        fields |= _columns(imports, name, fields, pairs, given)
        made = imports.map(name, kind, fields, reset="resend" if resend else "leave" if leave else None)
    if as_json:
        output.print_json(made)
        return
    imports_view.say_mapped(made)
    if growing is not None and "extraction" not in fields and _may_have_cursor(made):
        output.note(f"{growing} may be a cursor: --cursor {growing}")
    output.note(f"Try it: {output.command('import dry-run', name)}")


def _kind(**wanted: bool) -> Any:
    from tidemill.errors import ConfigError
    from tidemill.imports.service import Kind

    chosen = [name for name, is_chosen in wanted.items() if is_chosen]
    if len(chosen) != 1:
        raise ConfigError(
            "import_kind", "It is not said what the rows become.", hint="Give --people, --events or --deletions."
        )
    return Kind(chosen[0])


_NAMED = ("identity", "person_id", "event", "event_column", "time", "time_format", "insert_id", "existing_only", "mode")
_CURSOR = ("extraction", "cursor", "cursor_unit", "cursor_overlap")


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """What was said in options of their own."""
    fields = {name: given[name] for name in (*_NAMED, *_CURSOR) if given[name] is not None}
    if given["team"] is not None:
        fields["team_id"] = given["team"]
    if "cursor" in fields:
        fields.setdefault("extraction", "cursor")
    return fields


def _may_have_cursor(made: ImportView) -> bool:
    """Whether a cursor may be named still. By one it is not noticed which rows are gone."""
    return made.extraction == "diff" and made.mode != "mirror" and made.last is None


def _suggested(
    imports: ImportService, name: str, kind: Any, fields: dict[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """A column that may be a cursor, which is only told; and what was said, with what columns suggest of the rest."""
    found = imports.suggested(name, kind)
    growing = found.pop("cursor")
    for one, other in (("identity", "person_id"), ("event", "event_column")):
        if one in fields or other in fields:
            found.pop(one, None)
            found.pop(other, None)
    return growing, {**found, **fields}


def _columns(
    imports: ImportService, name: str, fields: dict[str, Any], pairs: Sequence[str], given: dict[str, Any]
) -> dict[str, Any]:
    """Properties and skipped columns."""
    from tidemill.imports.spec import COLUMNS

    properties = [_pair(pair) for pair in pairs]
    named = {one["column"] for one in properties} | set(given["skip"])
    used = {str(fields[field]) for field in COLUMNS if field in fields}
    roots = {one.partition(".")[0] for one in named}  # of a STRUCT whose fields are named, these alone are meant
    suggested = [one for one in fields.get("properties", ()) if one["column"] not in named | used | roots]
    taken = named | used | set(fields.get("skipped", ())) | {one["column"] for one in suggested} | roots
    left = []
    if given["map_others"] or given["skip_others"]:
        left = [column.name for column in imports.look(name).columns if column.name not in taken]
    others = [{"column": column, "name": column} for column in left] if given["map_others"] else []
    skipped = [*given["skip"], *(one for one in fields.get("skipped", ()) if one not in named | used)]
    skipped = [*skipped, *(left if given["skip_others"] and not given["map_others"] else [])]
    return {"properties": [*properties, *suggested, *others], "skipped": skipped}


def _pair(text: str) -> dict[str, Any]:
    from tidemill.errors import ConfigError

    found = _PAIR.fullmatch(text)
    if found is None:
        raise ConfigError(
            "mapping_pair", f"{text!r} is no COLUMN=PROPERTY:TYPE.", hint="Write --map amount=price:float"
        )
    said = {field: value for field, value in found.groupdict().items() if value is not None}
    name, colon, kind = said.get("name", "").rpartition(":")
    if colon and "type" not in said:
        hint = f"Types: {_TYPES}. If the property is called so: --map {said['column']}={name}:{kind}:auto"
        raise ConfigError("mapping_pair", f"{text!r}: {kind!r} is no type.", hint=hint)
    if "format" in said and said["format"] not in _KNOWN_FORMATS:
        raise ConfigError("mapping_pair", f"{text!r}: {said['format']!r} is no format.", hint=f"Formats: {_FORMATS}.")
    return {"name": said["column"], **said}
