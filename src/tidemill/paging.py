"""Lists by pages. Where the next page begins is said by a text, the cursor, which only who wrote it reads.

A page begins behind the last row of the one before it, wherever that is by then: rows that are added or deleted
meanwhile neither move others into a page twice nor out of all pages, as they would if pages were counted.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Generic, TypeVar

from tidemill.errors import ConfigError

Item = TypeVar("Item")
Other = TypeVar("Other")
#: Rows of a page, if nothing else is said; and at most.
USUAL, MOST = 50, 200
_PARSERS: dict[type, Callable[[Any], Any]] = {
    str: lambda value: _of(str, value),
    int: lambda value: _of(int, value),
    dt.datetime: lambda value: _aware(dt.datetime.fromisoformat(value)),
    uuid.UUID: uuid.UUID,
}


@dataclasses.dataclass(frozen=True)
class Page(Generic[Item]):
    """Some rows of a list, in order. `next`: the cursor of the page behind it; None if there is none."""

    items: tuple[Item, ...]
    next: str | None

    def map(self, made: Callable[[Item], Other]) -> Page[Other]:
        """The same page of what is made of its rows."""
        return Page(tuple(made(item) for item in self.items), self.next)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which page: behind the row that the cursor names, so many rows at most. None: from the beginning. `sort`: a word
    of the list, by which it is ordered, with ``-`` before it downwards; empty: the list's own order."""

    cursor: str | None = None
    limit: int = USUAL
    sort: str = ""


def sorted_by(sort: str, words: Collection[str]) -> tuple[str, bool]:
    """The word of a sort, and whether it goes downwards.

    Raises
    ------
    ConfigError
        The list has no such word.
    """
    word, down = sort.removeprefix("-"), sort.startswith("-")
    if word in words:
        return word, down
    raise ConfigError(
        "sort_unknown",
        f"The list cannot be sorted by {word!r}.",
        hint=f"One of: {', '.join(words)}; with - before it, downwards.",
    )


def assert_known(what: str, value: str | None, known: Collection[str]) -> None:
    """That a filter has one of its values, or none. `what`: how such a value is called: status.

    Raises
    ------
    ConfigError
        With those that there are.
    """
    if value is not None and value not in known:
        raise ConfigError(f"{what}_unknown", f"{value!r} is no {what}.", hint=f"One of: {', '.join(known)}.")


def cut(items: Iterable[Item], name: Callable[[Item], str], which: str, wanted: Wanted) -> Page[Item]:
    """A page of a list that is there as a whole, because it is short: ordered by the name of each, which is of one
    alone. `which`: see `cursor`.

    Raises
    ------
    ConfigError
        The cursor is none of this list.
    """
    placed = sorted(((_place(name(item)), item) for item in items), key=lambda pair: pair[0])
    if wanted.cursor is not None:
        after = key(wanted.cursor, which, (str, str))
        placed = [pair for pair in placed if pair[0] > after]
    found = placed[: wanted.limit]
    following = cursor(which, found[-1][0]) if len(placed) > wanted.limit else None
    return Page(tuple(item for _, item in found), following)


def _place(name: str) -> tuple[str, str]:
    return name.lower(), name


def cursor(which: str, key: Sequence[Any]) -> str:
    """The cursor of what comes behind the row with that key, in the list that `which` describes: its name, its order
    and all by which it was chosen."""
    values = [value.isoformat() if isinstance(value, dt.datetime) else value for value in key]
    text = json.dumps([_mark(which), *values], default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def key(text: str, which: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """The key that is in a cursor, of values of these kinds.

    Raises
    ------
    ConfigError
        It is no cursor, or one of another list, or of the same with other filters.
    """
    try:
        mark, *values = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        if mark == _mark(which):
            return tuple(_PARSERS[kind](value) for kind, value in zip(kinds, values, strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        pass
    raise ConfigError(
        "cursor_invalid",
        "The cursor is none of this list with these filters.",
        hint="Give the one that the page before named as next, and the same filters; or none, to begin anew.",
    )


def _mark(which: str) -> str:
    return hashlib.blake2b(which.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _aware(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        raise ValueError
    return moment
