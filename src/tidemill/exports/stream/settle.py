"""What became of appends whose answers were lost: BigQuery counts the rows of their write stream, which ends then."""

from __future__ import annotations

import datetime as dt
import decimal
import secrets
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import AccessError, ConflictError, NotFoundError
from tidemill.exports.stream.journal import Entry
from tidemill.exports.work import model_of
from tidemill.models.types import Type
from tidemill.store.records import Export

Row = dict[str, Any]


def ended(streams: WriteStreams, name: str, rows_known: int, entries: Sequence[Entry]) -> int | None:
    """End a write stream. Gives how many of the appends are in it; None if BigQuery does not know the stream any more.

    `rows_known`: rows that are in it for sure; the appends come behind them.

    Raises
    ------
    ConflictError
        It holds rows that nobody has written down.
    """
    try:
        rows = streams.finalize(name)
    except NotFoundError:
        return None
    ends: list[int] = [entry["offset"] + entry["rows"] for entry in entries]
    if rows not in {rows_known, *ends}:
        expected = " or ".join(f"{number:,}" for number in sorted({rows_known, *ends}))
        raise _inconsistent(f"BigQuery has {rows:,} rows in a write stream where {expected} were expected.", name)
    return sum(end <= rows for end in ends)


def in_table(export: Export, client: Client, rows: Sequence[Row]) -> int:
    """Of the last rows of appends that were sent one after the other: how many are in the table. Asked by a query.

    Raises
    ------
    ConflictError
        The account may not query, so that it cannot be known.
    """
    if not rows:
        return 0
    try:
        answer = client.query(
            sql.count_rows((export.project, export.dataset, export.table_id), [_typed(export, row) for row in rows]),
            job_id=f"tidemill_settle_{secrets.token_hex(12)}",
            permission="bigquery.tables.getData",
            dataset=export.dataset,
            table=export.table_id,
        )
    except AccessError as error:
        raise ConflictError(
            "stream_in_doubt",
            f"BigQuery has forgotten a write stream before it could be asked what became of {len(rows)} appends, and "
            f"this account may not look into the table: {error.message}",
            hint=f"Grant it until the stream goes on; nothing is sent until then. {error.hint}",
            raw=error.raw,
        ) from None
    found = [bool(number) for number in answer.rows[0]]
    if found != sorted(found, reverse=True):
        raise _inconsistent(f"Of the last rows of {len(found)} appends, one is in the table, and one before it is not.")
    return sum(found)


def _inconsistent(message: str, raw: str = "") -> ConflictError:
    hint = "Somebody else changes the table, or this is a bug. Nothing is sent any more. Verify the table."
    return ConflictError("stream_inconsistent", message, hint=hint, raw=raw)


def row_of(export: Export, batch: pa.RecordBatch, at: int) -> Row:
    """What names a row, and the time by which its partition is found, as a text."""
    model = model_of(export)
    names = dict.fromkeys((*model.key, *([model.partition_by] if model.partition_by else [])))
    values = {name: batch.column(name)[at].as_py() for name in names}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> sql.Value | None:
    """As JSON has it. A number that is a key is a whole one."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return int(value) if isinstance(value, decimal.Decimal) else value


def _typed(export: Export, row: Row) -> dict[str, sql.Value | None]:
    """The values, with times as such."""
    kinds = {column.name: column.type for column in model_of(export).columns}
    return {
        name: dt.datetime.fromisoformat(str(value)) if value and kinds[name] is Type.TIMESTAMP else value
        for name, value in row.items()
    }
