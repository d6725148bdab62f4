"""What became of appends whose answers were lost: BigQuery counts the rows of their write stream, which ends then."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import AccessError, ConflictError, NotFoundError
from tidemill.events import batches
from tidemill.events.sources.source import EPOCH
from tidemill.exports import selection
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.reader import MAX_ROW_BYTES
from tidemill.exports.work import Parts, model_of
from tidemill.store.records import Export, Stream
from tidemill.store.streams import WHOLE

Entries = Sequence[dict[str, int]]
Row = dict[str, sql.Value]


def ended(streams: WriteStreams, name: str, entries: Entries) -> int | None:
    """End a write stream. Gives how many of the appends are in it; None if BigQuery does not know the stream any more.

    Raises
    ------
    ConflictError
        It holds rows that nobody has written down.
    """
    try:
        rows = streams.finalize(name)
    except NotFoundError:
        return None
    ends = [entry["offset"] + entry["rows"] for entry in entries]
    first = entries[0]["offset"] if entries else rows
    if rows not in {first, *ends}:
        raise ConflictError(
            "stream_inconsistent",
            f"BigQuery has {rows:,} rows in a write stream where {' or '.join(map(str, sorted({first, *ends})))} were "
            "expected.",
            hint="Somebody else writes to it, or this is a bug. Nothing is sent any more. Verify the table.",
            raw=name,
        )
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
            sql.count_rows((export.project, export.dataset, export.table_id), rows),
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
    return int(answer.rows[0][0])


def last_rows(parts: Parts, export: Export, spec: ExportSpec, stream: Stream) -> list[Row]:
    """The last row of each append that was written down as in flight, read again from the event store."""
    model, after = model_of(export), stream.change if stream.number == WHOLE else stream.change - 1
    rows = batches.ordered(
        parts.lake,
        parts.source(export),
        selection.of(spec, after, stream.in_flight[-1]["change"]),
        model.columns_for(json_type=False),
        handed_at=EPOCH,
        max_row_bytes=MAX_ROW_BYTES,
    )
    found = []
    for entry in stream.in_flight:
        begun = rows.changes < entry["change"]
        at = int(np.count_nonzero(begun | ((rows.changes == entry["change"]) & (rows.numbers <= entry["number"])))) - 1
        found.append(row_of(export, rows.batch, at))
    return found


def row_of(export: Export, batch: pa.RecordBatch, at: int) -> Row:
    """What names a row, and the time by which its partition is found."""
    model = model_of(export)
    names = dict.fromkeys((*model.key, *([model.partition_by] if model.partition_by else [])))
    return {name: batch.column(name)[at].as_py() for name in names}
