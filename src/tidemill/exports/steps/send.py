"""The step of a chunk that goes by the Storage Write API: its rows are sent to a pending stream of its own.

Nothing of such a stream is in the table before it is committed. So a chunk whose step died, or whose stream is gone, is
begun anew, on another stream; only the one that is recorded will be committed. It is not finalized before that: then
BigQuery would drop it after four hours instead of a day ("Storage Write API": batch load).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence

from tidemill import logbook
from tidemill.bigquery import write_sender, write_streams
from tidemill.bigquery.client import Client
from tidemill.bigquery.write_sender import Sender
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import NotFoundError, TidemillError, UnavailableError
from tidemill.events import batches, duck, ends, sendable
from tidemill.events.chunks import RejectedRow
from tidemill.events.lake import Lake
from tidemill.exports import rejects, told
from tidemill.exports.steps import move
from tidemill.exports.work import Parts, Work
from tidemill.store.records import Chunk

#: Of one request. BigQuery takes 20 MB, and asks for more than 1 MB ("Storage Write API": quotas, best practices).
REQUEST_BYTES = 5_000_000
#: A larger row does not go this way: with what Arrow adds, it must fit into one request.
MAX_ROW_BYTES = 10_000_000
_MAY_PASS = {write_streams.GONE, write_sender.DOUBTFUL, "table_not_found"}


def send(parts: Parts, run_id: str, attempt: int, number: int) -> str:
    """Send the chunk's rows. Gives the name of their stream; it is empty if there are none."""
    work = parts.work(run_id, attempt)
    run = work.run
    chunk = parts.runs.chunk(run.id, number)
    if chunk.status == "loaded":
        return chunk.job_id or ""
    begun = dt.datetime.now(dt.UTC)
    sent = _sent(parts, work, chunk)
    move.folded(parts, work, sent.folded)
    parts.runs.note_chunk(  # all at once: another process that is at it, too, has another stream
        run.id,
        number,
        attempt=attempt,
        status="loaded",
        rows_written=sent.rows,
        rows_loaded=sent.rows,
        rows_rejected=sent.rejected,
        rows_repaired=sent.repaired,
        bytes=sent.bytes,
        bounds={name: list(pair) for name, pair in sent.seen.ends().items()},
        job_id=sent.stream,
        started_at=begun,
        finished_at=dt.datetime.now(dt.UTC),
    )
    told.done(
        "The chunk is sent.",
        rows=sent.rows,
        bytes=sent.bytes,
        rejected=sent.rejected or None,
        repaired=sent.repaired or None,
        stream=sent.stream,
    )
    parts.watches.report(run.id, "sending")
    return sent.stream or ""


@dataclasses.dataclass
class _Sent:
    """What one stream has got. `rejected`: rows that it has not, nor will get."""

    seen: ends.Seen
    stream: str | None = None
    rows: int = 0
    rejected: int = 0
    repaired: int = 0
    bytes: int = 0
    folded: int = 0


def _sent(parts: Parts, work: Work, chunk: Chunk) -> _Sent:
    """Send them to one stream after the other, until one has all of them."""
    client = parts.watches.client(work.run.id, work.export)
    waits: Callable[[TidemillError], None] | None = None
    at_once, alone = write_sender.IN_FLIGHT, False
    while True:
        try:
            return _Chunk(parts, work, chunk, client).sent(at_once, alone=alone)
        except NotFoundError as error:
            # BigQuery may say so of a table that was made a moment ago, and of its streams.
            there = error.code in _MAY_PASS and client.get_table(work.export.dataset, work.loads_into)
            if not there:
                raise
            waits = waits or client.policy.waits(client.cancelled)
            waits(error)
            at_once = 1 if error.code == write_sender.DOUBTFUL else at_once
        except UnavailableError as error:
            if error.code != duck.OUT_OF_MEMORY or alone:
                raise
            logbook.warning("Memory was not enough: the chunk is read once more, by one thread.")
            alone = True


class _Chunk:
    """A chunk on its way."""

    def __init__(self, parts: Parts, work: Work, chunk: Chunk, client: Client) -> None:
        self._parts, self._work, self._chunk, self._client = parts, work, chunk, client
        self._sent = _Sent(ends.Seen(work.bounded if work.staged else ()))

    def sent(self, at_once: int, *, alone: bool) -> _Sent:
        """Send all rows to a new stream. `alone`: nothing else is read meanwhile, and by one thread."""
        parts, sent = self._parts, self._sent
        with contextlib.ExitStack() as stack:
            lake = stack.enter_context(parts.lake.one_thread()) if alone else parts.lake
            found = stack.enter_context(contextlib.closing(self._rows(lake)))
            requests = stack.enter_context(contextlib.closing(batches.requests(found, REQUEST_BYTES)))
            streams = stack.enter_context(contextlib.closing(WriteStreams(self._client)))
            with contextlib.ExitStack() as reading:
                reading.enter_context(parts.writing)  # what is costly to read, DuckDB does before the first rows come
                parts.watches.check(self._work.run.id)
                parts.watches.report(self._work.run.id, f"sending chunk {self._chunk.number + 1}")
                rows = next(requests, None)
                if alone:
                    stack.enter_context(reading.pop_all())
            sender: Sender[sendable.Rows] | None = None
            while rows is not None:
                parts.watches.check(self._work.run.id)
                self._set_aside(rows.rejected)
                sent.repaired += rows.repaired
                if rows.batch.num_rows:
                    sender = sender or stack.enter_context(contextlib.closing(self._sender(streams, at_once)))
                    sender.send(rows)
                    sent.seen.add(rows.batch)
                    sent.bytes += int(rows.sizes.sum())
                    parts.watches.sent(self._work.run.id, self._chunk.number, sent.bytes, "sending")
                rows = next(requests, None)
            sent.rows = sender.finish() if sender else 0
        if not sent.rows:  # all were refused
            sent.stream = None
        return sent

    def _rows(self, lake: Lake) -> batches.Reading:
        parts, run_id = self._parts, self._work.run.id

        def folded(number: int) -> None:
            self._sent.folded = number

        return batches.unordered(
            lake,
            parts.source(self._work.export),
            self._work.chosen(self._chunk),
            self._work.columns,
            handed_at=dt.datetime.now(dt.UTC),
            max_row_bytes=min(MAX_ROW_BYTES, parts.settings.max_row_bytes),
            folded=folded,
            cancelled=lambda: parts.watches.cancelled(run_id),
        )

    def _sender(self, streams: WriteStreams, at_once: int) -> Sender[sendable.Rows]:
        dataset, table = self._work.export.dataset, self._work.loads_into
        self._sent.stream = streams.create(dataset, table, pending=True)
        columns = sendable.schema(self._work.columns)
        return Sender(streams, self._client, self._sent.stream, columns, self._refused, at_once=at_once)

    def _refused(self, rows: sendable.Rows, bad: Sequence[tuple[int, str]]) -> None:
        self._set_aside(rows.rejects(bad, "row_refused"))

    def _set_aside(self, rows: Sequence[RejectedRow]) -> None:
        if not rows:
            return
        if self._parts.settings.max_row_bytes > MAX_ROW_BYTES:
            rows = [_with_hint(row) for row in rows]
        rejects.set_aside(self._parts, self._work, rows)
        self._sent.rejected += len(rows)


def _with_hint(row: RejectedRow) -> RejectedRow:
    if row.code != "row_too_large":
        return row
    return dataclasses.replace(row, message=f"{row.message} Load jobs take larger ones: --delivery load.")
