"""The test upload of a streaming export: one row, by a write stream."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING

import pyarrow as pa

from tidemill.bigquery.write_outcomes import Appended, Duplicate, Failed, Gone, Outcome
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import NotFoundError, RetryableError, TidemillError

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

_ANSWER_SECONDS = 15.0  # for one row; then it is sent again
_END_SECONDS = 5.0  # for a call that has been answered


def upload(client: Client, streams: WriteStreams, dataset: str, table: str) -> None:
    """Append one row to a table that was just made, by a committed write stream, and have BigQuery count it.

    It needs ``bigquery.tables.updateData`` and nothing else ("Storage Write API": required permissions): it runs no job
    and does not read the row back.
    """
    name = create(client, streams, dataset, table)
    _append(client, streams, name, pa.RecordBatch.from_pydict({"event": [table]}))
    rows = streams.finalize(name)
    if rows != 1:
        raise TidemillError("row_not_counted", f"One row was appended to a write stream, and BigQuery counts {rows}.")


def create(client: Client, streams: WriteStreams, dataset: str, table: str, *, pending: bool = False) -> str:
    """A stream into a new table, which BigQuery may not find for a while (googleapis/google-cloud-go#12449)."""
    waits = client.policy.waits(client.cancelled)
    while True:
        try:
            return streams.create(dataset, table, pending=pending)
        except NotFoundError as error:
            waits(error)


def _append(client: Client, streams: WriteStreams, name: str, row: pa.RecordBatch) -> None:
    """Append the row once: whatever was lost on the way, it is sent again at the same offset."""
    waits = client.policy.waits(client.cancelled)
    while True:
        match _send(streams, name, row):
            case Appended() | Duplicate():  # a duplicate: an earlier try was done, and its answer lost
                return
            case Failed(error) if isinstance(error, RetryableError):
                waits(error)
            case Failed(error):
                raise error
            case Gone(_, said):  # as a new table, a new stream may not be found for a while
                waits(RetryableError("stream_gone", f"BigQuery does not know the write stream: {said}"))
            case outcome:
                raise TidemillError("row_not_appended", f"BigQuery did not take the row: {outcome}.")


def _send(streams: WriteStreams, name: str, row: pa.RecordBatch) -> Outcome:
    """Send the row on a connection of its own, and say what became of it."""
    connection = streams.open(name, row.schema)
    answer = connection.send(row, 0)
    futures.wait([answer], _ANSWER_SECONDS)
    connection.close(_END_SECONDS if answer.done() else 0)  # what has no answer by now gets that of the end
    return answer.result()
