"""Rows as the bytes of a file."""

from __future__ import annotations

import datetime as dt
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import fields
from tidemill.destinations.port import Kind

if TYPE_CHECKING:
    import pyarrow as pa

_encoder = msgspec.json.Encoder()
#: Whole numbers below are held by a column of such, and by one of fractions without loss.
_BIGGEST, _EXACT = 2**63, 2**53
#: Beside what is mapped, each row has these.
IDENTITY, KEY, OP, SENT_AT = "_tidemill_id", "_tidemill_key", "_tidemill_op", "_tidemill_at"
OWN = (IDENTITY, KEY, OP, SENT_AT)


def csv_line(values: Sequence[Any]) -> bytes:
    """A line (RFC 4180). Nothing stands for null, and "" for an empty text; lists and objects are JSON."""
    return ",".join(map(_cell, values)).encode() + b"\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else _encoder.encode(value).decode()
    if text and not any(letter in text for letter in ',"\r\n') and text[0] != " " and text[-1] != " ":
        return text
    return '"' + text.replace('"', '""') + '"'


def parquet(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> bytes:
    """A Parquet file. `types`: of columns, as they were said; others go by the values: numbers and booleans are such,
    all else is text. Objects and lists are JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    all_types = {SENT_AT: "timestamp", **types}
    table = pa.table({name: _array([row.get(name) for row in rows], all_types.get(name)) for name in names})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _array(values: list[Any], kind: str | None) -> pa.Array:
    import pyarrow as pa

    if kind is not None:
        read = READERS[kind]
        return pa.array([None if value is None else read(value) for value in values], _arrow()[kind])
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and _within(values, _BIGGEST):
        return pa.array(values, pa.int64())
    if float in kinds and kinds <= {int, float} and _within(values, _EXACT):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if not kinds <= {str}:
        values = [None if value is None else text(value) for value in values]
    return pa.array(values, pa.string())


def _within(values: list[Any], bound: int) -> bool:
    return all(-bound <= value < bound for value in values if isinstance(value, int))


def text(value: Any) -> str:
    """A value as text: JSON, of all that is no text."""
    return value if isinstance(value, str) else _encoder.encode(value).decode()


def _checked(kind: Kind, value: Any) -> Any:
    found = fields.read(kind, value)
    if found is None:
        raise ValueError
    return found


def _integer(value: Any) -> int:
    found: int = _checked(Kind.INTEGER, value)
    if not -_BIGGEST <= found < _BIGGEST:
        raise ValueError
    return found


#: By a type's name: what makes such a value of one; ValueError if it is none.
READERS: dict[str, Callable[[Any], Any]] = {
    "text": text,
    "json": lambda value: _encoder.encode(value).decode(),
    "integer": _integer,
    "number": lambda value: float(_checked(Kind.NUMBER, value)),
    "boolean": functools.partial(_checked, Kind.BOOLEAN),
    "date": lambda value: dt.date.fromisoformat(str(value)),
    "timestamp": lambda value: fields.moment(_checked(Kind.DATETIME, value)),
}


@functools.cache
def _arrow() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "text": pa.string(),
        "json": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
