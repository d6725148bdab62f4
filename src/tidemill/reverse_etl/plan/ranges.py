"""Ranges of buckets."""

from __future__ import annotations

from collections.abc import Iterable


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those together that follow each other."""
    made: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(last, made[-1][1]))
        else:
            made.append((first, last))
    return made
