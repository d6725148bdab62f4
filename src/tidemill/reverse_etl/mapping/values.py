"""Values while a row is mapped: what is missing, values as text, and errors that say where."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tidemill.errors import RowError

#: What is not there. It is not null: a key of an object whose value is missing is left out.
MISSING: Final = object()
#: Gives the value of a part of a mapping, of what `$` stands for there.
Reader = Callable[[Any], Any]

#: Bytes of a text that a mapping makes, and, roughly, of all that it makes of a row.
LARGEST, LARGEST_VALUE = 1_000_000, 16_000_000

_encoder = msgspec.json.Encoder()
#: Whole numbers above it are not all floats.
_EXACT = 2**53


class Unfit(Exception):  # noqa: N818 - of a value: whoever knows where it is makes an error of it
    """A value cannot be used; the text says why, without saying where."""


def failed(at: str, message: str) -> RowError:
    """The error for a row of which no value could be made at that place of the mapping."""
    return RowError("mapping_failed", f"{at}: {message}.", hint="Change the mapping there, or the row.")


def text(value: Any) -> str:
    """A value as text, as JavaScript has it, but for objects: they are JSON.

    Null and what is missing are empty; a list is its items with commas between them.

    Raises
    ------
    Unfit
        The text would be too large.
    """
    if isinstance(value, str):
        return value
    if value is None or value is MISSING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    if isinstance(value, list):
        _assert_small(value)
        return ",".join([text(item) for item in value])
    return encoded(value) if isinstance(value, dict) else str(value)


def encoded(value: Any) -> str:
    """A value as JSON, without spaces.

    Raises
    ------
    Unfit
        The text would be too large.
    """
    _assert_small(value)
    try:
        return bounded(_encoder.encode(value).decode())
    except (UnicodeEncodeError, OverflowError, TypeError):  # half a surrogate pair; a type of Python
        return bounded(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def bounded(made: str) -> str:
    """A text, if it is not too large.

    Raises
    ------
    Unfit
        It is.
    """
    if len(made) * 4 > LARGEST and len(made.encode(errors="surrogatepass")) > LARGEST:
        raise too_large()
    return made


def _assert_small(value: Any) -> None:
    """A mapping can put the same large value into a list a thousand times: that costs nothing until it is written."""
    if measured(value, LARGEST) > LARGEST:
        raise too_large()


def assert_held(value: Any) -> Any:
    """A value, if it can be held when the same parts of it, there many times, are written or taken apart.

    Raises
    ------
    Unfit
        It cannot.
    """
    if measured(value, LARGEST_VALUE) > LARGEST_VALUE:
        raise Unfit(f"comes to more than {LARGEST_VALUE:,} bytes")
    return value


def measured(value: Any, most: int) -> int:
    """Characters of a value and its parts, and one for each of them; not counted further than `most`."""
    size, parts = 0, [value]
    while parts and size <= most:
        part = parts.pop()
        size += len(part) + 1 if isinstance(part, str) else 1
        if isinstance(part, list | tuple):
            parts.extend(part)
        elif isinstance(part, dict):
            parts.extend(part)
            parts.extend(part.values())
    return size


def too_large() -> Unfit:
    """What is raised for a text that is too large."""
    return Unfit(f"made a text of more than {LARGEST:,} bytes")


def told(value: Any) -> str:
    """A value for an error: what it is, and what is in it only if that is short."""
    if value is MISSING:
        return "missing"
    if value is None:
        return "null"
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text of {len(value):,} characters"
    if isinstance(value, bool):
        return str(value).lower()
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)[:40]


def truthy(value: Any) -> bool:
    """Whether a value counts as true in JavaScript: also an empty list and an empty object do."""
    return bool(value) or isinstance(value, dict | list)


def each(change: Callable[[Any], Any], value: Any) -> Any:
    """A value changed; of a list, each item."""
    return [change(item) for item in value] if isinstance(value, list) else change(value)
