"""Values of rows as texts, by which what was sent is held against what came back, and which are shown.

The same value has one text, however it was written: in a file for a load job, in a request, or by BigQuery.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.models.model import Column
from tidemill.models.types import Type

#: Of one row. None: NULL.
Texts = tuple[str | None, ...]


def of_row(row: Sequence[Any], columns: Sequence[Column]) -> Texts:
    """A row whose values are in the order of the columns."""
    return tuple(_value(value, column) for value, column in zip(row, columns, strict=True))


def of_line(line: str, columns: Sequence[Column]) -> Texts:
    """A row of a file of JSON Lines."""
    found = parsed(line)
    return of_row([found.get(column.name) for column in columns], columns)


def parsed(text: str) -> Any:
    """A JSON text. Of names that come twice the first counts, as for BigQuery ("JSON functions": PARSE_JSON)."""
    return json.loads(text, object_pairs_hook=_first)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _value(value: Any, column: Column) -> str | None:
    if column.repeated:
        return json.dumps([_one(one, column.type) for one in value or []], ensure_ascii=False)
    return None if value is None else _one(value, column.type)


def _one(value: Any, kind: Type) -> str:
    return _TEXTS.get(kind, str)(value)


def _moment(value: Any) -> str:
    """BigQuery's types of time hold microseconds."""
    found = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    plain = found.astimezone(dt.UTC).replace(tzinfo=None) if found.tzinfo else found
    return plain.isoformat(sep=" ", timespec="microseconds")


def _decimal(value: Any) -> str:
    text = format(decimal.Decimal(value), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def _float(value: Any) -> str:
    return repr(float(value))


def _json(value: Any) -> str:
    return json.dumps(_same(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _same(value: Any) -> Any:
    """A JSON value; numbers that are equal are the same: 1 and 1.0."""
    if isinstance(value, Mapping):
        return {name: _same(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_same(one) for one in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


_TEXTS: Mapping[Type, Callable[[Any], str]] = {
    Type.FLOAT64: _float,
    Type.NUMERIC: _decimal,
    Type.BIGNUMERIC: _decimal,
    Type.BOOL: lambda value: "true" if value else "false",
    Type.TIMESTAMP: _moment,
    Type.DATETIME: _moment,
    Type.JSON: _json,
}
