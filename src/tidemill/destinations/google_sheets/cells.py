"""Cells: what becomes of values, by what rows are known, and what ranges are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
#: Google keeps numbers as floats: whole ones that are larger would be changed.
_EXACT = 2**53
#: Characters of a cell.
LONGEST = 50_000


def cell(value: Any) -> Any:
    """What a cell gets. An empty text clears it; null would leave it as it is."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return _encoder.encode(value).decode()
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        return str(value)
    return value


def row(header: Sequence[str], values: Mapping[str, Any]) -> list[Any]:
    """The cells of a row: null where nothing is to be changed."""
    found = [cell(values[name]) if name in values else None for name in header]
    while found and found[-1] is None:
        found.pop()
    return found


def known_by(values: Iterable[Any]) -> tuple[str, ...]:
    """What a row is known by: as text, for a sheet makes numbers of some texts, and people do."""
    return tuple(_plain(cell(value)) for value in values)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def letters(index: int) -> str:
    """The name of a column, from 0: A, …, Z, AA, …"""
    found = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        found = chr(65 + rest) + found
    return found


def name(sheet: str, cells: str) -> str:
    """The name of a range of a sheet."""
    return f"'{sheet.replace(chr(39), chr(39) * 2)}'!{cells}"


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges (first, last), the last one first: what is deleted there moves nothing of the others."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers), reverse=True):
        if found and found[-1][0] == number + 1:
            found[-1] = (number, found[-1][1])
        else:
            found.append((number, number))
    return found
