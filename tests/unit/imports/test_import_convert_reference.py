"""Rows by columns make the same events as each row by itself, by a plain reading of the rules."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from tidemill.destinations.port import Op
from tidemill.imports import convert
from tidemill.imports.made import Rows, Source
from tidemill.imports.spec import ImportSpec, Kind, Property, TimeFormat, Type

NOW = 1_780_000_000_000_000
DAY = 86_400_000_000
SOURCE_ID = uuid.UUID(int=9)
NOBODY = {"undefined", "null", "na", "n/a", "0", "nil", "-1", "xxxxxx", ""}
NOBODY |= {"infinity", "-infinity", "inf", "-inf", "nan", "-nan"}
RESERVED = {"$set", "$identify", "$create_alias", "$merge_dangerously", "$deleted"}
REFUSED: Any = object()


class Refused(Exception):  # noqa: N818
    pass


def clean(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[\0\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    return {clean(name): clean(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def integer(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused
    try:
        number = float(value) if isinstance(value, str) else value
        if number != int(number):
            raise Refused
        return int(value.partition(".")[0]) if isinstance(value, str) else int(number)
    except (ValueError, OverflowError):
        raise Refused from None


def boolean(value: Any) -> Any:
    known = {"true": True, "1": True, "false": False, "0": False}
    found = known.get(
        str(value).lower() if not isinstance(value, float) else str(int(value)) if value in {0, 1} else ""
    )
    if found is None or isinstance(value, list | dict):
        raise Refused
    return found


def parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return (
            json.loads(value, parse_constant=lambda _: (_ for _ in ()).throw(ValueError())) if value.strip() else None
        )
    except ValueError:
        raise Refused from None


def members(value: Any) -> Any:
    found = parsed(value)
    if not isinstance(found, dict | None):
        raise Refused
    return found


def texted(value: Any) -> Any:
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)
    return value if isinstance(value, str) else json.dumps(clean(value), separators=(",", ":"), ensure_ascii=False)


PLAIN: dict[str, Callable[[Any], Any]] = {
    "auto": lambda value: value,
    "integer": integer,
    "boolean": boolean,
    "json": parsed,
    "string": texted,
    "spread": members,
}
#: Each property's column is called as the property; `spread` has its members as properties of their own.
PROPERTIES = tuple(
    Property(column=name, name="*" if name == "spread" else name, type=Type.JSON if name == "spread" else Type(name))
    for name in PLAIN
)


def fits(spec: ImportSpec, row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Properties of a row, and the names of those that are null."""
    made: dict[str, Any] = {}
    for name in sorted((one.column for one in spec.properties), key=lambda name: name != "spread"):
        value = row[name]
        value = None if isinstance(value, float) and not math.isfinite(value) else value
        value = clean(PLAIN[name](value)) if value is not None else None
        if name == "spread":
            made |= {inner: one for inner, one in (value or {}).items() if inner not in made}
        else:
            made[name] = value
    for name in ("$import", "$import_row"):
        made.pop(name, None)
    return {name: value for name, value in made.items() if value is not None}, [n for n, v in made.items() if v is None]


def person(value: Any) -> str:
    whole = str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
    text = str(clean(whole if value is not None else ""))
    if text.strip().lower() in NOBODY or len(text) > 1024:
        raise Refused
    return text[:200]


def expected(spec: ImportSpec, source: Source, row: dict[str, Any], key: str, version: str, op: Op) -> Any:
    """The event of a row as a dict; REFUSED; or the distinct_id of a person whose row went away."""
    origin: dict[str, Any] = {"$import_id": str(SOURCE_ID), "$import": source.name, "$import_run": source.run}
    version_id = str(uuid.uuid5(SOURCE_ID, f"{key}\x1f{version}\x1f{op.value}"))
    row_id = str(uuid.uuid5(SOURCE_ID, key))
    try:
        who = person(row["id"])
    except Refused:
        who = REFUSED
    if op is Op.DELETED:
        if spec.kind is Kind.PEOPLE:
            return who
        origin |= {"$import_row": row_id, "$process_person_profile": False}
        return event(version_id, "$deleted", "$import" if who is REFUSED else who, NOW, origin)
    try:
        if who is REFUSED:
            raise Refused
        made, nulls = fits(spec, row)
        if spec.kind is Kind.PEOPLE:
            more = {"$unset": sorted(nulls)} if nulls else {}
            return event(version_id, "$set", who, NOW, origin | more) | {"set": made}
        name, moment = row["name"], row["at"]
        is_name = isinstance(name, str) and name.strip() and len(name) <= 400 and clean(name) not in RESERVED
        if not is_name or moment is None or not 365 * DAY <= moment <= NOW + DAY:
            raise Refused
    except Refused:
        return REFUSED
    if source.mirrors:
        return event(version_id, clean(name), who, moment, made | origin | {"$import_row": row_id})
    return event(row_id, clean(name), who, moment, made | origin)


def event(uuid_text: str, name: str, who: str, moment: int, properties: dict[str, Any]) -> dict[str, Any]:
    return {"uuid": uuid_text, "event": name, "distinct_id": who, "timestamp": moment, "properties": properties}


TEXT = st.text(max_size=8)
WORDS = st.sampled_from(["a", "12", "-7", "12.5", "true", "FALSE", "0", "", " ", "null", "{", '{"x": 1}', "[1]"])
ODD = st.sampled_from(["\0", "a\ud800", "\\u0000", "é", "x" * 300, "{" * 600])
SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXT | WORDS | ODD
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | TEXT | ODD
NESTED = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
JSON = st.dictionaries(TEXT | st.sampled_from(["$import", "auto", "$import_row"]), st.none() | st.integers(0, 9) | TEXT)
ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", 12, 1.0, 1.5, None, "N/A", " ", "x" * 300, "x" * 1025, 0, "\0", "\ud800"]),
        "name": st.sampled_from(["Paid", "Sent", "$set", "", None, "x" * 400, "x" * 401, "\0", 5]),
        "at": st.sampled_from([NOW, NOW + DAY, NOW + DAY + 1, 365 * DAY, 365 * DAY - 1, None]),
        "auto": NESTED,
        "integer": st.none()
        | st.integers(-(2**63), 2**63 - 1)
        | st.sampled_from(["12", 12.0, 12.5, "abc", True, "-3"]),
        "boolean": st.none() | st.booleans() | st.sampled_from(["TRUE", "false", "0", 1, 0.0, "yes", 2, []]),
        "json": st.none() | WORDS | JSON.map(json.dumps) | JSON,
        "string": st.none() | FINITE | st.lists(st.none() | st.booleans() | TEXT | ODD, max_size=3),
        "spread": st.none() | WORDS | JSON.map(json.dumps) | JSON,
    }
)


@st.composite
def pieces(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[str], list[Op]]:
    made = draw(st.lists(ROW, max_size=6))
    keys = draw(st.lists(st.text(), min_size=len(made), max_size=len(made), unique=True))
    ops = draw(st.lists(st.sampled_from(Op), min_size=len(made), max_size=len(made)))
    return made, keys, ops


@hypothesis.given(
    piece=pieces(), kind=st.sampled_from([Kind.PEOPLE, Kind.EVENTS]), mirrors=st.booleans(), spreads=st.booleans()
)
@hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_a_piece_is_as_each_of_its_rows(
    piece: tuple[list[dict[str, Any]], list[str], list[Op]], kind: Kind, mirrors: bool, spreads: bool
) -> None:
    given, keys, ops = piece
    named: dict[str, Any] = {}
    if kind is Kind.EVENTS:
        named = {"event_column": "name", "time": "at", "time_format": TimeFormat.MICROSECONDS}
    properties = PROPERTIES if spreads else PROPERTIES[:-1]
    spec = ImportSpec(kind=kind, identity="id", properties=properties, **named)
    source = Source(SOURCE_ID, "a name", 4, mirrors=mirrors)
    versions = [f"4:{at}" for at in range(len(keys))]
    columns = {name: [row[name] for row in given] for name in ("id", "name", "at", *PLAIN)}
    rows = Rows(keys, versions, ops, columns, NOW)
    made = convert.made(spec, source, rows)

    found: dict[int, Any] = dict.fromkeys(made.refused, REFUSED)
    found |= dict(made.deleted)
    names = ("uuid", "event", "distinct_id", "timestamp")
    for row, at in enumerate(made.positions):
        assert at not in found, "a place is in one of the three"
        found[at] = {name: made.events[name][row] for name in names}
        found[at]["properties"] = json.loads(made.events["properties"][row])
        if kind is Kind.PEOPLE:
            found[at]["set"] = json.loads(made.events["set"][row])
            if unset := found[at]["properties"].get("$unset"):
                unset.sort()
    assert found == {at: expected(spec, source, row, keys[at], versions[at], ops[at]) for at, row in enumerate(given)}
    assert len(made.positions) + len(made.refused) + len(made.deleted) == len(given)
    assert convert.made(spec, source, rows) == made
