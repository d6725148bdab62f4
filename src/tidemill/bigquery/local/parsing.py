"""Statements are parsed once: the emulator has each of its steps parse the same text, a dozen times in all.

A copy of what was parsed takes a quarter of the time. Each caller gets one of its own, for they change what they get.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

from sqlglot.dialects.dialect import Dialect

#: So many texts are remembered; of longer ones none.
_MOST, _LONGEST = 16, 500_000

Parse = Callable[..., list[Any]]


class Remembered:
    """A `Dialect.parse` that knows the last texts."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._known: collections.OrderedDict[tuple[type[Dialect], str], list[Any]] = collections.OrderedDict()
        self._guard = threading.Lock()

    def parse(self, dialect: Dialect, sql: str, **options: Any) -> list[Any]:
        """What `sql` says, one expression for each statement. Raises what the parser does."""
        if options or len(sql) > _LONGEST or dialect.settings:
            return self._parse(dialect, sql, **options)
        key = (type(dialect), sql)
        with self._guard:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
        if found is None:
            found = self._parse(dialect, sql)
            with self._guard:
                self._known[key] = found
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return [one.copy() if one is not None else None for one in found]


def remember() -> None:
    """Have the parser of this process remember."""
    remembered = Remembered(Dialect.parse)

    def parse(self: Dialect, sql: str, **options: Any) -> list[Any]:
        return remembered.parse(self, sql, **options)

    Dialect.parse = parse  # type: ignore[method-assign]
