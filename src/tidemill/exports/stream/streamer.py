"""Moves one stream: takes windows from the reader, plans them in the journal, and has the sender send them."""

from __future__ import annotations

import time

from tidemill import logbook
from tidemill.bigquery.client import Client
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream import settle
from tidemill.exports.stream.journal import Append, Journal
from tidemill.exports.stream.lag import Progress
from tidemill.exports.stream.orders import Orders
from tidemill.exports.stream.reader import Reader, Window
from tidemill.exports.stream.sender import Sender
from tidemill.exports.work import Held, Parts
from tidemill.store.records import Export
from tidemill.store.streams import StreamHeldError, Streams

#: A run of a stream says what was appended in an hour, or until nothing came for a while.
_RUN_SECONDS, _IDLE_SECONDS = 3600.0, 300.0
_COLLECTS_SECONDS = 0.05
_LOOKS_WHETHER_HELD_SECONDS = 0.5


class Streamer:
    """Of one export, as long as its lock is held."""

    def __init__(
        self,
        parts: Parts,
        streams: Streams,
        export: Export,
        client: Client,
        orders: Orders,
        lock: Held,
        progress: Progress,
    ) -> None:
        self._parts, self._streams, self._client, self._orders, self._lock = parts, streams, client, orders, lock
        self._progress = progress
        self._id = export.id
        self._journal = Journal(streams, export)
        self._sender = Sender(client, self._export, self._journal)
        self._reader: Reader | None = None
        self._spec: ExportSpec | None = None
        self._begun = self._moved_at = time.monotonic()
        self._looked_at = 0.0
        self._is_held = False

    def _export(self) -> Export:
        return self._parts.exports.by_id(self._id)

    def run(self) -> None:
        """Until it is told to stop, or (if it is not patient) until all is sent.

        Raises
        ------
        TidemillError
            Why it cannot go on. What is written down is enough to go on later.
        """
        try:
            self._progress.begin()
            self._settle()
            self._journal.tell(None, [])
            if self._journal.run_id is not None:
                self._spec = ExportSpec.model_validate(self._parts.runs.by_id(self._journal.run_id).spec)
            self._reader = self._new_reader()
            while not self._is_over():
                self._turn()
            self._journal.end_run()
        finally:
            self._progress.end(self._journal.sent)
            if self._reader is not None:
                self._reader.stop()
            self._sender.close()

    def _settle(self) -> None:
        """Find out what became of what was in flight when the stream was left."""
        stream = self._journal.stream
        if stream.name is None:
            return
        streams = WriteStreams(self._client)
        try:
            number = settle.ended(streams, stream.name, stream.rows, stream.in_flight)
        finally:
            streams.close()
        if number is None:
            rows = [entry["last"] for entry in stream.in_flight]
            number = settle.in_table(self._export(), self._client, rows)
        said = "It goes on where the stream was left: what was on its way is looked up."
        logbook.info(said, requests=len(stream.in_flight), arrived=number, stream=stream.name)
        for entry in stream.in_flight[:number]:
            self._journal.settle(entry)
        self._journal.use(None, [])

    def _new_reader(self) -> Reader:
        self._journal.begin_reading()
        return Reader(self._parts, self._export, self._journal.place, patient=self._orders.patient)

    def _is_over(self) -> bool:
        """Whether nothing is in flight, and nothing more is to be sent."""
        if not self._sender.idle:
            return False
        if self._orders.stopping():
            return self._between_changes
        return not self._orders.patient and self._reader is not None and self._reader.is_done()

    @property
    def _between_changes(self) -> bool:
        """A run ends between two changes, so that what it covers can be said. It is mostly so."""
        return self._journal.is_whole

    def _turn(self) -> None:
        self._sender.collect(_COLLECTS_SECONDS)
        self._tell()
        if self._held() and self._between_changes:
            self._pause()
            return
        if self._reader is None and not self._sender.idle:
            return  # what is on its way would be read again, for the place is that of what is in
        reader = self._reader = self._reader or self._new_reader()
        wanted = not (self._orders.stopping() and self._between_changes)
        window = reader.next(0 if self._sender.pending else 0.1) if wanted and self._sender.ready else None
        if window is not None:
            self._take(window)
        elif self._sender.idle and time.monotonic() - self._moved_at > _IDLE_SECONDS:
            self._journal.end_run()

    def _held(self) -> bool:
        """Whether somebody needs the table to be still. Asked now and then, as is whether the stream is ours still."""
        now = time.monotonic()
        if now - self._looked_at > _LOOKS_WHETHER_HELD_SECONDS:
            self._lock.check()
            self._looked_at, self._is_held = now, self._streams.held(self._id)
        return self._is_held

    def _pause(self) -> None:
        """Send nothing, and forget what was read: it may be gone when it goes on."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
        if self._sender.idle:
            self._journal.end_run()
            time.sleep(_COLLECTS_SECONDS)

    def _take(self, window: Window) -> None:
        self._moved_at = time.monotonic()
        if self._journal.run_id is not None and self._is_another_run(window):
            self._drain()
            self._journal.end_run()
        pending = self._sender.pending
        if not window.requests and not window.rejected:
            self._skip(window)
            return
        if window.requests:
            self._sender.open()
        try:
            self._begin_run(window)
        except StreamHeldError:  # since a moment ago: what was read is read again, later
            self._pause()
            return
        export = self._export()
        appends = [Append(rows, (int(rows.changes[-1]), int(rows.numbers[-1]))) for rows in window.requests]
        for append in appends:
            append.last = settle.row_of(export, append.rows.batch, append.number - 1)
        if appends:
            appends[-1].end = window.end
        self._journal.plan([*pending, *appends], window.rejected, repaired=window.repaired, until=window.until)
        if not appends:
            self._skip(window)
        self._sender.send(appends)

    def _skip(self, window: Window) -> None:
        """There is nothing in it to send."""
        if self._sender.pending:
            self._sender.pending[-1].end = window.end
        else:
            self._journal.skip(window.end)
            self._journal.flush([])

    def _is_another_run(self, window: Window) -> bool:
        """Whether what comes is of a run of its own. One that was left in the middle of a change is gone on with."""
        if not self._journal.is_whole and self._sender.idle:
            return False
        changed = self._spec is not None and self._spec != window.spec
        return changed or time.monotonic() - self._begun > _RUN_SECONDS

    def _begin_run(self, window: Window) -> None:
        if self._journal.run_id is None:
            self._begun = time.monotonic()
            self._journal.begin_run(
                spec=window.spec.model_dump(mode="json"),
                interval_start=window.since,
                created_by=self._orders.by,
                attempt=1,
            )
        self._spec = window.spec

    def _drain(self) -> None:
        """Until nothing is in flight."""
        while not self._sender.idle:
            self._sender.collect(_COLLECTS_SECONDS)
            self._tell()

    def _tell(self) -> None:
        stream = self._journal.stream
        self._progress.tell(
            self._journal.place, self._journal.sent, stream.trouble["message"] if stream.trouble else ""
        )
