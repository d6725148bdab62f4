"""Newline-delimited JSON into a table, row by row as BigQuery reads it ("Loading JSON data")."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from tidemill.bigquery.local import rows, values

_BATCH_ROWS, _BATCH_BYTES = 10_000, 16 * 1024 * 1024
_MAX_DETAILS = 5


class TooManyErrorsError(Exception):
    """More bad rows than the job allows; `details` has the first of them."""

    def __init__(self, message: str, details: list[str]) -> None:
        super().__init__(message)
        self.details = details


def load(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    fields: list[dict[str, Any]],
    options: dict[str, Any],
    file: Path,
) -> tuple[int, int]:
    """Load the file into the DuckDB table of that quoted name. Gives the rows loaded, and the bad rows left out.

    `options`: of the load job: `maxBadRecords`, `ignoreUnknownValues`. Memory is bounded by a batch.

    Raises
    ------
    TooManyErrorsError
        The file has more bad rows than `maxBadRecords`.
    """
    allowed, ignore = int(options.get("maxBadRecords") or 0), bool(options.get("ignoreUnknownValues"))
    loaded, bad, position = 0, 0, 0
    details: list[str] = []
    for lines in _batches(file):
        good = []
        for line in lines:
            try:
                if line.strip():
                    good.append(values.row(values.parse(line), fields, ignore_unknown=ignore))
            except ValueError as error:
                bad += 1
                said = str(error) if isinstance(error, values.BadValueError) else f"Parser terminated: {error}"
                details.append(f"JSON parsing error in row starting at position {position}: {said}")
                if bad > allowed:
                    raise _too_many(loaded + len(good) + bad, bad, details) from None
            position += len(line)
        if good:
            rows.insert(cursor, table, good, fields)
        loaded += len(good)
    return loaded, bad


def _too_many(seen: int, bad: int, details: list[str]) -> TooManyErrorsError:
    return TooManyErrorsError(
        f"JSON table encountered too many errors, giving up. Rows: {seen}; "
        f"errors: {bad}. Please look into the errors[] collection for more details.",
        details[:_MAX_DETAILS],
    )


def _batches(file: Path) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    with file.open("rb") as source:
        for line in source:
            batch.append(line)
            size += len(line)
            if len(batch) == _BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    yield batch
