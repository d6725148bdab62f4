"""Proposes what an import makes of rows, by the names and types of their columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.imports.spec import COLUMNS, Kind, Property, TimeFormat, Type

if TYPE_CHECKING:
    from tidemill.bigquery.tables import Field

#: Names, the likeliest first, as they are without case, underscores, hyphens and spaces. user_pseudo_id is GA4's, which
#: is there in each row, while its user_id is mostly null.
_IDENTITY = ("distinctid", "userpseudoid", "userid", "externalid", "customerid", "email", "anonymousid")
_TIME = ("createdat", "eventtime", "timestamp", "eventtimestamp", "time", "occurredat", "partitiontime")
_EVENT = ("event", "eventname", "eventtype", "name")
_INSERT_ID = ("insertid", "$insertid", "uuid", "messageid", "eventid")
_CURSOR = ("updatedat", "updatedon", "modifiedat", "modifiedon", "serveruploadtime", "insertedat")
#: Of these the first that a table has is all that is known of an event: its members become properties by their names.
_PROPERTIES = ("eventproperties", "eventparams", "properties")
_PERSON = ("userproperties", "personproperties", "traits", "properties")

_IDS = frozenset({"STRING", "INT64", "NUMERIC", "BIGNUMERIC"})
_MOMENTS = frozenset({"TIMESTAMP", "DATETIME", "DATE"})
_NUMBERS = frozenset({"INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"})
_STRUCTS = frozenset({"STRUCT", "RECORD"})
_JSON_SUFFIX = "_json"


def suggest(fields: Sequence[Field], kind: Kind, key: Sequence[str] = ()) -> dict[str, Any]:
    """Fields of an ImportSpec for a model with such columns and key. What no column fits is left out."""
    found: dict[str, Any] = {"kind": kind}
    single = [field for field in fields if field.mode != "REPEATED"]
    ids = [field for field in single if field.type in _IDS]
    who = _named(ids, _IDENTITY)
    if who is None and kind is not Kind.EVENTS and len(key) == 1:
        who = next((field for field in ids if field.name == key[0]), None)
    if who is not None:
        found["identity"] = who.name
    if kind is Kind.DELETIONS:
        return found
    if kind is Kind.EVENTS:
        # Amplitude's event_id is a number that counts the events of a device: as an id it would make one event of many.
        found |= _of_event(single, [field for field in ids if field.type == "STRING" or field.name in key])
    used = {found.get(name) for name in COLUMNS}
    found["properties"] = tuple(_properties([field for field in fields if field.name not in used], kind))
    return found


def cursor(fields: Iterable[Field]) -> str | None:
    """The column by which newer rows are told, if there is one by its name."""
    field = _named([field for field in fields if _is_time(field)], _CURSOR)
    return None if field is None else field.name


def _of_event(single: Sequence[Field], ids: Sequence[Field]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if name := _named([field for field in single if field.type == "STRING"], _EVENT):
        found["event_column"] = name.name
    if time := _named([field for field in single if _is_time(field) or field.type == "STRING"], _TIME):
        found |= {"time": time.name, "time_format": _format(time)}
    if insert_id := _named(ids, _INSERT_ID):
        found["insert_id"] = insert_id.name
    return found


def _format(field: Field) -> TimeFormat:
    """How a column has times. GA4's event_timestamp counts microseconds (research on Amplitude and CleverTap, section
    2.1), and Amplitude's time milliseconds."""
    if field.type not in _NUMBERS:
        return TimeFormat.AUTO
    name = _plain(field.name)
    if name == "eventtimestamp" or name.endswith(("micros", "us")):
        return TimeFormat.MICROSECONDS
    return TimeFormat.MILLISECONDS if name == "time" or name.endswith(("millis", "ms")) else TimeFormat.SECONDS


def _properties(fields: Sequence[Field], kind: Kind) -> Iterator[Property]:
    whole = _named([field for field in fields if _spread(field)], _PERSON if kind is Kind.PEOPLE else _PROPERTIES)
    taken = {field.name for field in fields}
    for field in fields:
        of = _spread(field)
        if of is None:
            yield Property(column=field.name, name=field.name)
            continue
        stem = field.name.removesuffix(_JSON_SUFFIX) or field.name
        name = "*" if field is whole else f"{stem}.*"
        if name in taken:  # payload and payload_json, both with members
            name = f"{field.name}.*"
        taken.add(name)
        yield Property(column=field.name, name=name, type=of)


def _spread(field: Field) -> Type | None:
    """The type by which a column's members are properties of their own; None if it is one property."""
    if field.mode == "REPEATED":
        inner = {one.name for one in field.fields}
        return Type.KEY_VALUES if field.type in _STRUCTS and inner == {"key", "value"} else None
    name = _plain(field.name)
    is_whole = name in _PROPERTIES or name in _PERSON
    if field.type == "STRING":
        return Type.JSON if is_whole or field.name.lower().endswith(_JSON_SUFFIX) else None
    return Type.AUTO if is_whole and field.type in {"JSON", *_STRUCTS} else None


def _is_time(field: Field) -> bool:
    return field.mode != "REPEATED" and (field.type in _MOMENTS or field.type in _NUMBERS)


def _named(fields: Sequence[Field], names: Sequence[str]) -> Field | None:
    """The first of the names that a column has."""
    known: dict[str, Field] = {}
    for field in fields:
        known.setdefault(_plain(field.name), field)
    return next((known[name] for name in names if name in known), None)


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in "_- ")
