"""What is kept of rows that are not delivered, to be looked at: their columns, within bounds."""

from __future__ import annotations

import json
from typing import Any

from tidemill.destinations.port import Outcome
from tidemill.reverse_etl import nesting
from tidemill.reverse_etl.plan.port import InvalidRow, PlanRow

#: Characters of a message of somebody else's, and of a row as JSON, that are kept.
MOST_MESSAGE, MOST_ROW = 1_000, 100_000
_INVALID = {
    "key_null": "The key is NULL.",
    "key_duplicate": "{count:,} rows have this key: none of them is delivered. One of them is shown.",
    "cursor_null": "The cursor is NULL, or no finite number.",
    "cursor_future": "The cursor is in the future: the row comes by itself when its time has come.",
}
_LARGE = " The row is too large to be kept."


def refused(row: PlanRow, outcome: Outcome) -> dict[str, object]:
    """Of a row that was not written."""
    return {
        "key": row.key,
        "op": row.op.value,
        "status": outcome.status.value,
        "code": outcome.code,
        "message": outcome.message[:MOST_MESSAGE],
        "row": bounded(row.row),
        "here": outcome.here,
    }


def invalid(row: InvalidRow) -> dict[str, object]:
    """Of a row that cannot be delivered. One without a key is called by its hash."""
    message = _INVALID[row.code].format(count=row.count)
    return {
        "key": f"NULL {row.hash[:12]}" if row.key is None else row.key,
        "op": "added",
        "status": "invalid",
        "code": row.code,
        "message": message if row.row is not None else message + _LARGE,
        "row": None if row.row is None else bounded(row.row),
    }


def bounded(row: dict[str, Any], most: int = MOST_ROW) -> dict[str, Any]:
    """A row that is no larger than that as JSON: of the values that are, their beginning is kept, with their size. What
    is nested too deep is kept as text."""
    if nesting.is_too_deep(row):
        row = {name: json.dumps(value) if nesting.is_too_deep(value) else value for name, value in row.items()}
    if _size(row) <= most:
        return row
    share = max(most // len(row) // 2, 10)
    return {name: value if _size(value) <= share else _begun(value, share) for name, value in row.items()}


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))


def _begun(value: Any, most: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:most]}… ({len(text):,} characters)"
