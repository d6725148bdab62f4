"""Values that are looked up at a tool, so many at once as an address has place for."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence


def parts(values: Sequence[str], *, most: int, characters: int, around: int) -> Iterator[list[str]]:
    """The values in lists of at most so many, and of so many characters in an address. `around`: characters that stand
    about each. A value that is longer than that goes by itself."""
    some: list[str] = []
    size = 0
    for value in values:
        length = len(urllib.parse.quote(value)) + around
        if some and (len(some) >= most or size + length > characters):
            yield some
            some, size = [], 0
        some.append(value)
        size += length
    if some:
        yield some
