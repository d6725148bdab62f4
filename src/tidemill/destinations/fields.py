"""Checks what a mapping gave against the fields of an action, before anything is sent: an API that drops a row without
a word would never say."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tidemill.destinations.port import Action, Field, Kind, Op, Outcome, rejected

#: Of a value that is not of its kind and cannot be taken for one.
_NONE = object()
_TRUE, _FALSE = frozenset({"true", "1", "yes", "t", "y"}), frozenset({"false", "0", "no", "f", "n"})
INVALID = "field_invalid"
Check = Callable[[Mapping[str, Any], Op], "dict[str, Any] | Outcome"]


@functools.lru_cache(maxsize=256)
def checker(action: Action) -> Check:
    """What checks the fields of records of that action: gives them, with values of their kinds, or what is wrong.

    Fields that are missing or null are left out, unless they are required; null stays where a field may be cleared
    by it: that of kinds `any` and `object`, and of names that the action does not know.
    """
    known = {field.name: (field, _reader(field)) for field in action.fields}
    others = {name: field.name for field in action.fields for name in field.also if name not in known}
    spread = tuple(field.name for field in action.fields if field.spread)
    required = tuple(field.name for field in action.fields if field.required)
    for_delete = tuple(field.name for field in action.fields if field.on_delete)

    def check(fields: Mapping[str, Any], op: Op) -> dict[str, Any] | Outcome:
        found: dict[str, Any] = {}
        if others or spread:
            fields = _by_own_names(fields, others, spread)
        for name, value in fields.items():
            field, read = known.get(name, (None, None))
            if field is None or read is None:
                if not action.more:
                    return _wrong(f"{action.title} has no field {name!r}")
                found[name] = value
                continue
            if value is None:
                continue
            seen = read(value)
            if seen is _NONE:
                return _wrong(f"{name} is {_told(value)}, and should be {_asked(field)}")
            found[name] = seen
        needed = for_delete if op is Op.DELETED else required
        for name in needed:
            if found.get(name) in (None, "", [], {}):
                return _wrong(f"{name} is missing")
        return found

    return check


def _by_own_names(fields: Mapping[str, Any], others: Mapping[str, str], spread: Iterable[str]) -> Mapping[str, Any]:
    """What a mapping gave, by the names of the action. What stands by itself goes before a member of an object."""
    inside: dict[str, Any] = {}
    for name in spread:
        if isinstance(fields.get(name), dict):
            inside.update(fields[name])
            fields = {key: value for key, value in fields.items() if key != name}
    given = {**inside, **fields}
    return {
        others.get(name, name): value
        for name, value in given.items()
        if name not in others or others[name] not in given
    }


def _wrong(message: str) -> Outcome:
    return rejected(INVALID, f"{message}.")


def _told(value: Any) -> str:
    """A value for an error: what it is, not what is in it, unless that is short."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text of {len(value):,} characters"
    return {dict: "an object", list: "a list", bool: str(value).lower()}.get(type(value), repr(value)[:40])


def _asked(field: Field) -> str:
    one = {
        Kind.STRING: "a text",
        Kind.NUMBER: "a number",
        Kind.INTEGER: "a whole number",
        Kind.BOOLEAN: "true or false",
        Kind.DATETIME: "a time (ISO 8601, or seconds since 1970)",
        Kind.OBJECT: "an object",
        Kind.ANY: "a value",
    }[field.kind]
    if field.choices:
        one = f"one of {', '.join(field.choices)}"
    elif field.longest is not None:
        one = f"{one} of at most {field.longest} characters"
    return f"a list, each {one}" if field.multiple else one


def _reader(field: Field) -> Callable[[Any], Any]:
    read = _READERS[field.kind]
    if field.choices or field.longest is not None:
        read = functools.partial(_bounded, read, frozenset(field.choices), field.longest)
    return functools.partial(_list, read) if field.multiple else read


def _bounded(read: Callable[[Any], Any], choices: frozenset[str], longest: int | None, value: Any) -> Any:
    found = read(value)
    if choices and found not in choices:
        return _NONE
    return _NONE if longest is not None and isinstance(found, str) and len(found) > longest else found


def _list(read: Callable[[Any], Any], value: Any) -> Any:
    found = [read(item) for item in (value if isinstance(value, list) else [value])]
    return _NONE if _NONE in found else found


def _string(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value) if isinstance(value, int) else _NONE


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return _NONE
    if isinstance(value, int | float):
        return value if math.isfinite(value) else _NONE
    try:
        found = float(value)
    except (ValueError, TypeError):
        return _NONE
    if not math.isfinite(found):
        return _NONE
    try:
        return int(value)
    except ValueError:
        return found


def _integer(value: Any) -> Any:
    found = _number(value)
    if isinstance(found, float):
        return int(found) if found.is_integer() else _NONE
    return found


def _boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if text in _TRUE else False if text in _FALSE else _NONE


def _datetime(value: Any) -> Any:
    return value if is_moment(value) else _NONE


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else _NONE


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.STRING: _string,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DATETIME: _datetime,
    Kind.OBJECT: _object,
    Kind.ANY: lambda value: value,
}


def read(kind: Kind, value: Any) -> Any:
    """A value of that kind, made of another; None if it is none."""
    found = _READERS[kind](value)
    return None if found is _NONE else found


def is_moment(value: Any) -> bool:
    """Whether `moment` can tell the time of it: years have bounds, too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        moment(value)
    except (ValueError, OverflowError, OSError):
        return False
    return True


def moment(value: Any) -> dt.datetime:
    """The time that a field of kind DATETIME holds, in UTC; a time without a zone counts as UTC.

    Numbers are seconds since 1970; above 10^11 they are milliseconds.
    """
    if isinstance(value, int | float):
        return dt.datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, dt.UTC)
    found = dt.datetime.fromisoformat(value)
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


def longer(text: str, most: int) -> bool:
    """Whether a text has more bytes than that; a character has four at most, which need not be counted mostly."""
    return len(text) * 4 > most and len(text.encode(errors="surrogatepass")) > most
