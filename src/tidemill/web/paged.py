"""Pages of what a service gives whole: there is little of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.web.numbers import whole
from tidemill.web.table import Asked, Page, Row


def paged(
    rows: Sequence[Row],
    asked: Asked,
    *,
    keys: Mapping[str, Callable[[Row], Any]] | None = None,
    texts: Callable[[Row], str] | None = None,
    passes: Callable[[Row, Asked], bool] | None = None,
) -> Page[Row]:
    """A page of what a service gives whole. `keys`: by what columns sort, if not by the attribute of their name;
    `texts`: in what the filter `search` searches; `passes`: what the other filters let through."""
    wanted = asked["search"].casefold()
    found = [
        row
        for row in rows
        if (not wanted or texts is None or wanted in texts(row).casefold()) and (passes is None or passes(row, asked))
    ]
    if asked.sort:
        key = (keys or {}).get(asked.sort) or operator.attrgetter(asked.sort)
        found.sort(key=lambda row: _order(key(row)), reverse=asked.descending)
    start = whole(asked.cursor, 0)
    end = start + asked.limit
    return Page(found[start:end], str(end) if end < len(found) else "", len(found))


def _order(value: Any) -> tuple[bool, Any]:
    """Nothing comes first; texts are compared without regard to case."""
    return value is not None, value.casefold() if isinstance(value, str) else value if value is not None else 0
