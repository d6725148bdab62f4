"""Filters of Liquid that are ours: where the library's differ from LiquidJS, take long, or are missing."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any

from dateutil import parser as dates  # type: ignore[import-untyped]
from liquid.filter import num_arg
from liquid.undefined import Undefined

from tidemill.reverse_etl.mapping.values import LARGEST, Unfit, encoded, measured, text, too_large

#: Characters of a text that is read as a time.
_LONGEST_TIME = 100
_SECONDS = re.compile(r"%(%|s)")
_WHITE = re.compile(r"\s+")
_NOT_IN_SLUGS = re.compile(r"[^\w]+")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
_ESCAPED = re.compile("[&<>\"']")
_UNESCAPED = re.compile(r"[<>\"']|&(?!(?:#[0-9]{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,10});)")
_BLOCKS = (("<script", "</script>"), ("<style", "</style>"), ("<!--", "-->"))


def texted(value: Any) -> str:
    """A value as text: as elsewhere in mappings, but a list is its items, with nothing between them."""
    if isinstance(value, Undefined):
        return ""
    if isinstance(value, list | tuple):
        if measured(value, LARGEST) > LARGEST:
            raise too_large()
        return "".join([texted(item) for item in value])
    return text(value)


def date(value: Any, pattern: Any = "%Y-%m-%dT%H:%M:%SZ") -> str:
    """A time in another form, in UTC. Numbers are seconds since 1970; what cannot be read stays."""
    found = _time(value)
    if found is None:
        return texted(value)
    seconds = str(math.floor(found.timestamp()))
    form = _SECONDS.sub(lambda part: seconds if part[1] == "s" else part[0], texted(pattern))
    return found.strftime(form)


def _time(value: Any) -> dt.datetime | None:
    if isinstance(value, str) and value in {"now", "today"}:
        return dt.datetime.now(dt.UTC)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 15:
        value = int(value)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        if not isinstance(value, str) or not value or len(value) > _LONGEST_TIME:
            return None
        try:
            found = dt.datetime.fromisoformat(value)
        except ValueError:
            found = dates.parse(value, default=dt.datetime(1970, 1, 1))  # noqa: DTZ001 - its zone is looked at below
        return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def divided_by(value: Any, other: Any) -> Any:
    """A quotient, also of whole numbers: 5 by 2 is 2.5."""
    divisor = num_arg(other, default=0)
    if divisor == 0:
        raise Unfit("divides by zero")
    return num_arg(value, default=0) / divisor


def rounded(value: Any, digits: Any = 0) -> Any:
    """A number with so many digits after the point; half is rounded up."""
    number, power = num_arg(value, default=0), 10 ** max(0, min(15, int(num_arg(digits, default=0))))
    return math.floor(number * power + 0.5) / power if isinstance(number, float) else number


def join(value: Any, separator: Any = " ") -> str:
    """The items of a list, as one text."""
    if not isinstance(value, list | tuple):
        return texted(value)
    return texted(separator).join([texted(item) for item in value])


def escape(value: Any) -> str:
    """A text for HTML."""
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], texted(value))


def escape_once(value: Any) -> str:
    """The same, but what is escaped already stays."""
    return _UNESCAPED.sub(lambda found: _ESCAPES[found[0]], texted(value))


def strip_html(value: Any) -> str:
    """A text without tags, comments, scripts and styles."""
    rest = texted(value)
    for opening, closing in _BLOCKS:
        rest = _without(rest, opening, closing)
    return _without(rest, "<", ">")


def _without(value: str, opening: str, closing: str) -> str:
    kept, at = [], 0
    while (start := value.find(opening, at)) >= 0 and (end := value.find(closing, start + len(opening))) >= 0:
        kept.append(value[at:start])
        at = end + len(closing)
    return "".join([*kept, value[at:]])


def squish(value: Any) -> str:
    """A text with one space where there are several."""
    return _WHITE.sub(" ", texted(value).strip())


def slugify(value: Any) -> str:
    """A text for an address: small letters and digits, with hyphens between them."""
    return _NOT_IN_SLUGS.sub("-", texted(value).lower()).strip("-")


def to_integer(value: Any) -> int:
    """A whole number: what is behind the point is dropped."""
    return int(num_arg(value, default=0))


def as_json(value: Any, *_: Any) -> str:
    """JSON of a value."""
    return encoded(None if isinstance(value, Undefined) else value)


OURS: dict[str, Callable[..., Any]] = {
    "date": date,
    "date_to_xmlschema": lambda value: date(value, "%Y-%m-%dT%H:%M:%S+00:00"),
    "divided_by": divided_by,
    "escape": escape,
    "escape_once": escape_once,
    "join": join,
    "json": as_json,
    "jsonify": as_json,
    "normalize_whitespace": lambda value: _WHITE.sub(" ", texted(value)),
    "number_of_words": lambda value: len(texted(value).split()),
    "raw": lambda value: value,
    "round": rounded,
    "slugify": slugify,
    "squish": squish,
    "strip_html": strip_html,
    "to_integer": to_integer,
    "xml_escape": escape,
}
