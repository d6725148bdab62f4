"""A value that is not what it should be, and how it is told."""

from __future__ import annotations

import json
from typing import Any

from tidemill.events.formats import text

#: Characters of a value that a message repeats.
_SHOWN = 100


class Unfit(ValueError):  # noqa: N818 - nothing failed: the row is set aside
    """Says what a value is not, as the end of a sentence: "a whole number". `code`: of the refusal,
    if it is not the one that all values have that do not fit there."""

    def __init__(self, expected: str, code: str | None = None) -> None:
        super().__init__(expected)
        self.code = code


def shown(value: Any) -> str:
    """A value in a message: as JSON, at most 100 characters of it."""
    if isinstance(value, str):
        value = value[: _SHOWN + 1]
    try:
        written = json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError):
        written = str(type(value).__name__)
    written = text.clean(written)
    return written if len(written) <= _SHOWN else written[: _SHOWN - 1] + "…"


def told(column: str, value: Any, unfit: Unfit) -> str:
    """The sentence about a value of a column."""
    return f"{column}: {shown(value)} is not {unfit}."
