"""A number as somebody typed it, or has it in an address: the one way in which pages read it."""

from __future__ import annotations

from typing import overload

#: What PostgreSQL takes as bigint.
MOST = 2**63 - 1


@overload
def whole(text: str, otherwise: int, most: int = ...) -> int: ...


@overload
def whole(text: str, otherwise: None = ..., most: int = ...) -> int | None: ...


def whole(text: str, otherwise: int | None = None, most: int = MOST) -> int | None:
    """A whole number from 0 on; `otherwise` if it is none, or larger than `most`."""
    # Digits of other scripts are none for a database, and "²" is none for int.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        return otherwise
    found = int(text)
    return found if found <= most else otherwise
