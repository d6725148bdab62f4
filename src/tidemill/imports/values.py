"""Values of properties: what a column holds becomes what its type says (research on Amplitude and CleverTap, sections
2.1 and 4.2). Null stays null, and so does what is no number (NaN, Infinity)."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text
from tidemill.imports import key_values, times
from tidemill.imports.spec import Property, TimeFormat, Type
from tidemill.imports.unfit import Unfit

#: Makes a value of another; raises Unfit. Gives msgspec.Raw where JSON is kept as it came.
Convert: TypeAlias = Callable[[Any], Any]

TOO_DEEP = f"JSON of at most {text.MAX_DEPTH} levels, with the object that it becomes part of"
_NONE = type(None)
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}(?:\.0{0,30})?")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
#: An escape of U+0000, or any other: that of a backslash may stand before "u0000".
_NUL = re.compile(rb"\\u0000|\\.")
_RAW = msgspec.json.Decoder(msgspec.Raw)
_ANY = msgspec.json.Decoder()


@functools.lru_cache(maxsize=4096)
def column(of: Property) -> tuple[frozenset[type], Convert]:
    """How values of a column are made: those of these types stay as they are, others go through the function."""
    passed, convert = _of_type(of.type, of.format)
    if not is_spread(of.name):
        return passed, convert
    if of.type is Type.JSON:
        return frozenset({_NONE}), lambda value: _members(_json_fields(value) if isinstance(value, str) else value)
    return frozenset({_NONE}), lambda value: _members(value if type(value) in passed else convert(value))


def is_spread(name: str) -> bool:
    """Whether the members of a property are properties of their own: `*`, or a name that ends with `.*`."""
    return name == "*" or name.endswith(".*")


def prefix(name: str) -> str:
    """What the names of the members of such a property begin with."""
    return name[:-1]


def converted(values: Iterable[Any], how: tuple[frozenset[type], Convert]) -> tuple[list[Any], dict[int, Unfit]]:
    """A column, converted; and what is wrong with values of it, by their places, where it has null instead."""
    passed, convert = how
    try:
        return [value if type(value) in passed else convert(value) for value in values], {}
    except Unfit:
        pass
    made: list[Any] = []
    wrong: dict[int, Unfit] = {}
    for place, value in enumerate(values):
        try:
            made.append(value if type(value) in passed else convert(value))
        except Unfit as unfit:
            made.append(None)
            wrong[place] = unfit
    return made, wrong


def _of_type(kind: Type, form: TimeFormat) -> tuple[frozenset[type], Convert]:
    match kind:
        case Type.STRING:
            return frozenset({str, _NONE}), _string
        case Type.INTEGER:
            return frozenset({_NONE}), _integer
        case Type.FLOAT:
            return frozenset({_NONE}), _float
        case Type.BOOLEAN:
            return frozenset({bool, _NONE}), _boolean
        case Type.DATE:
            return frozenset({_NONE}), _date(form)
        case Type.JSON:
            return frozenset({bool, int, dict, list, _NONE}), lambda value: _json(value, _RAW)
        case Type.KEY_VALUES:
            return frozenset({dict, _NONE}), _key_values
    return frozenset({str, int, bool, list, dict, _NONE}), _finite


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _string(value: Any) -> str | None:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return msgspec.json.encode(cleaned(value)).decode()


def _integer(value: Any) -> int | None:
    if type(value) is int:
        found = value
    elif isinstance(value, float):
        if not math.isfinite(value):
            return None
        if not value.is_integer():
            raise Unfit("a whole number")
        found = int(value)
    elif isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        found = int(value.strip().partition(".")[0])
    else:
        raise Unfit("a whole number")
    if _SMALLEST <= found <= _LARGEST:
        return found
    raise Unfit("a whole number of 64 bits")


def _float(value: Any) -> float | None:
    if isinstance(value, float):
        return _finite(value)  # type: ignore[no-any-return]
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and _FLOAT.fullmatch(value.strip())):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise Unfit("a number")


def _boolean(value: Any) -> bool | None:
    if _finite(value) is None:
        return None
    if isinstance(value, str):
        found = _BOOLEANS.get(value.strip().lower())
    elif isinstance(value, int | float) and value in {0, 1}:
        found = bool(value)
    else:
        found = None
    if found is None:
        raise Unfit("true, false, 1 or 0")
    return found


def _date(form: TimeFormat) -> Convert:
    convert = times.texts(form)
    return lambda value: None if _finite(value) is None else convert(value)


def _json(value: Any, decoder: msgspec.json.Decoder[Any]) -> Any:
    """A text that holds JSON; a text of blanks is null. All else is JSON already."""
    if not isinstance(value, str):
        return _finite(value)
    record = _record(value)
    if not record or record == b"null":
        return None
    try:
        return text.decode(decoder, record)
    except RowError as error:
        raise Unfit(_reason(error)) from None


def _record(value: str) -> bytes:
    """A text of JSON, without what no database takes."""
    record = text.mend(text.clean(value).strip().encode())
    if b"\\u0000" in record:
        record = _NUL.sub(lambda found: b"\\ufffd" if found[0] == b"\\u0000" else found[0], record)
    return record


def _json_fields(value: str) -> Any:
    """The members of an object in a text, each as it came."""
    record = _record(value)
    if not record or record == b"null":
        return None
    try:
        return {name: None if bytes(raw) == b"null" else raw for name, raw in text.fields(record).items()}
    except RowError as error:
        raise Unfit("an object" if error.code == "field_type" else _reason(error)) from None


def _reason(error: RowError) -> str:
    return TOO_DEEP if error.code == "json_too_deep" else f"JSON: {error.message.rstrip('.')}"


def _key_values(value: Any) -> dict[str, Any] | None:
    found = _json(value, _ANY)
    return None if found is None else key_values.as_object(found)


def _members(value: Any) -> Any:
    if value is None or isinstance(value, dict):
        return value
    raise Unfit("an object")


def cleaned(value: Any, levels: int = 1) -> Any:
    """A copy of what is to be a member of an object, without texts that no database takes and what is no number. It is
    made without recursion: Python's own calls do not reach for as many levels as BigQuery allows. `levels`: around it.

    Raises
    ------
    Unfit
        It is too deep.
    """
    if isinstance(value, msgspec.Raw):
        try:
            text.check_depth(b"[" + bytes(value) + b"]")
        except RowError:
            raise Unfit(TOO_DEEP) from None
        return value
    made: list[Any] = [value]
    waiting: list[tuple[Any, Any, int]] = [(made, 0, levels)]
    while waiting:
        parent, place, levels = waiting.pop()
        one = parent[place]
        if isinstance(one, str):
            parent[place] = text.clean(one)
        elif isinstance(one, dict | list):
            if levels >= text.MAX_DEPTH:
                raise Unfit(TOO_DEEP)
            copy = {text.clean(str(name)): inner for name, inner in one.items()} if isinstance(one, dict) else one[:]
            parent[place] = copy
            waiting += ((copy, at, levels + 1) for at in (copy if isinstance(copy, dict) else range(len(copy))))
        else:
            parent[place] = _finite(one)
    return made[0]
