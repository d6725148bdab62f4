"""Rows of CSV and Parquet files as JSON objects, with bounded memory."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from tidemill.errors import ConfigError, RowError

BLOCK = 1024 * 1024
#: What to do about a file that breaks off. Only events that have neither an id nor a time count as new in another file.
AGAIN = (
    "What came before is loaded. Get the file again and load that: an event with an id or a time is not added twice."
)
_DELIMITERS = ",;\t|"
_KEPT = 1000
#: The time in a line of a web server's log, which has commas too.
_LOG = re.compile(rb"\[\d\d/[A-Z][a-z]{2}/\d{4}:")
#: A row: the line (or row) where it begins, the JSON object, or why there is none.
Row = tuple[int, bytes, RowError | None]


def looks_like_csv(head: bytes) -> bool:
    """Whether a text that is no JSON may be CSV: a header of two columns or more, and text below it."""
    first, *more = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n", 2)
    if not more or b"\0" in head or b"{" in first or more[0].lstrip()[:1] in {b"{", b"["}:
        return False
    return not _LOG.search(first) and len(_split(first.decode("utf-8", "replace"))) > 1


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _split(line: str) -> list[str]:
    return next(csv.reader([line], delimiter=_delimiter(line)), [])


def csv_rows(read: Callable[[int], bytes], max_bytes: int) -> Iterator[Row]:
    """The rows of a CSV file; empty fields are null, rows that do not fit the header are told.

    Raises
    ------
    ConfigError
        ``csv_header``, if a column is there twice.
    """
    csv.field_size_limit(max_bytes)
    lines = _lines(read, max_bytes)
    header = next(lines, "")
    delimiter = _delimiter(header)
    rows = csv.reader(_Again(header, lines), delimiter=delimiter)
    names = [name or f"column_{number}" for number, name in enumerate(next(rows, []), 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError("csv_header", f"The column {twice[0]!r} is there twice.", hint="Rename one in the header.")
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as problem:
            yield line, b"", RowError("csv_invalid", f"The row cannot be read: {problem}.")
            continue
        if not row:
            continue
        if len(row) != len(names):
            error = RowError("csv_columns", f"The row has {len(row)} fields, the header {len(names)}.")
            yield line, delimiter.join(row).encode("utf-8", "surrogateescape")[:_KEPT], error
            continue
        fields = {name: value or None for name, value in zip(names, row, strict=True)}
        yield line, json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogateescape"), None


class _Again:
    """Lines, the first of which was read before."""

    def __init__(self, first: str, lines: Iterator[str]) -> None:
        self._first, self._lines = first, lines

    def __iter__(self) -> Iterator[str]:
        yield self._first
        yield from self._lines


def _lines(read: Callable[[int], bytes], max_bytes: int) -> Iterator[str]:
    """Lines with their ends; one that is longer than a field may be comes in pieces."""
    rest = read(BLOCK)
    end = b"\n" if b"\n" in rest or b"\r" not in rest else b"\r"
    while rest:
        *lines, rest = rest.split(end)
        for line in lines:
            yield (line + end).decode("utf-8", "surrogateescape")
        block = read(BLOCK)
        if not block or len(rest) > max_bytes:
            yield rest.decode("utf-8", "surrogateescape")
            rest = b""
        rest += block


def parquet_rows(opened: IO[bytes], progress: Callable[[float], None]) -> Iterator[Row]:
    """The rows of a Parquet file. NaN becomes null; an infinite number, a date or a time its text.

    `progress` is told which share of the rows was read.

    Raises
    ------
    ConfigError
        ``file_broken``.
    """
    import pyarrow as pa  # heavy
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(opened) as file:
            for batch in file.iter_batches(batch_size=2_000):
                for data, error in _objects(batch):
                    number += 1
                    yield number, data, error
                progress(number / file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            "file_broken",
            f"The Parquet file is damaged or cut off after {number:,} rows: {error}",
            hint=AGAIN,
        ) from None


def _objects(batch: Any) -> Iterator[tuple[bytes, RowError | None]]:
    """The rows of a batch. Times become text here, since Python holds neither nanoseconds nor years after 9999."""
    import pyarrow as pa

    columns = [column.cast(pa.string()) if _is_time(column.type) else column for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, batch.schema.names)
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):  # a time inside of another value
        rows = None
    for number in range(batch.num_rows):
        try:
            yield _json(rows[number] if rows is not None else batch.slice(number, 1).to_pylist()[0]), None
        except (ValueError, OverflowError) as error:
            yield b"", RowError("parquet_value", f"A value of the row cannot be read: {error}")


def _is_time(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind))


def _json(row: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(row, default=_other, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(row), default=_other, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
