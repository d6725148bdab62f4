"""Who moves streams: one process at a time for each export, and another one when that is gone."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import (
    AccessError,
    Cancelled,
    ConfigError,
    ConflictError,
    RetryableError,
    TidemillError,
    UnavailableError,
)
from tidemill.exports import doubt, told
from tidemill.exports.dispatch import Dispatch
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.lag import Progress, measured
from tidemill.exports.stream.orders import Orders, Sent, Standing
from tidemill.exports.stream.streamer import Streamer
from tidemill.exports.work import Held, Parts
from tidemill.store.locks import LOST
from tidemill.store.postgres import open_postgres
from tidemill.store.records import Export, Stream
from tidemill.store.streams import DELETED, TAKEN_OVER, Streams, moving, quiet

_log = logging.getLogger(__name__)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds
_ENDED_WITHIN_SECONDS = 10.0
#: How long is waited until the table is still.
_STILL_WITHIN_SECONDS = 60.0
#: How often is looked for new exports, and after what time one that cannot go on is tried again.
_LOOKS_EVERY_SECONDS, _AGAIN_SECONDS = 2.0, 60.0


class _TakenError(Exception):
    """Somebody else has the lock."""


class Streaming:
    """Moves streams."""

    def __init__(
        self,
        parts: Parts,
        streams: Streams,
        dispatch: Dispatch,
        client_for: Callable[[Export], Client],
    ) -> None:
        self._parts, self._streams, self._dispatch, self._client_for = parts, streams, dispatch, client_for
        self._forced = threading.Event()
        #: Of the streams that `run_all` moves.
        self._progress: dict[uuid.UUID, Progress] = {}

    def run(self, name: str, orders: Orders) -> None:
        """Move the stream of an export, until it is told to stop or (if it is not patient) all is sent. What BigQuery
        cannot do for a while is tried again for as long as it takes.

        Raises
        ------
        ConfigError
            It is no streaming export.
        ConflictError
            Another process streams it.
        TidemillError
            It cannot go on: a permission is missing, the table is gone or does not fit.
        """
        export = self._parts.exports.get(name)
        if not _streams(export):
            raise ConfigError(
                "not_streaming", f"{export.name} is exported by runs.", hint=f"tidemill export run {export.name}"
            )
        self._forced.clear()
        progress = Progress(self._parts, export, orders.report)
        try:
            with progress.watched():
                self._hold_and_move(export, orders, _taken, progress)
        except _TakenError:
            raise ConflictError(
                "stream_running",
                f"Another process streams {export.name}.",
                hint=f"tidemill export show {export.name} tells how far it is.",
            ) from None

    def run_all(self, by: str, stopping: Callable[[], bool], said: Callable[[str, TidemillError | None], None]) -> None:
        """Move the streams of all exports that are streamed, also of those that come, until it is told to stop.

        Where another process has one, wait to take its place. `said`: told of each that ends, with the error.
        """
        moving: dict[str, threading.Thread] = {}
        while not stopping():
            for export in self._found():
                key = export.id.hex
                if _streams(export) and not (key in moving and moving[key].is_alive()):
                    moving[key] = threading.Thread(target=self._keep, args=(export, by, stopping, said), daemon=True)
                    moving[key].start()
            _wait(_LOOKS_EVERY_SECONDS, stopping)
        for thread in moving.values():
            thread.join()

    def _found(self) -> list[Export]:
        """All exports; none while the database is away."""
        try:
            return self._parts.exports.find()
        except UnavailableError:
            self._revive()
            return []

    def stop_now(self, *, runs: bool = True) -> None:
        """Wait for no answer any more. What is in flight is settled by who goes on. `runs`: cancel the runs of this
        process, too, for one of them may bring the first rows of a stream."""
        self._forced.set()
        if runs:
            self._dispatch.interrupt()

    def status(self, export: Export) -> tuple[Stream | None, dt.datetime | None]:
        """The stream of an export; and when the oldest event that the export has not sent was acknowledged."""
        return self._streams.get(export.id), measured(self._parts, export, export.position).since

    def is_moved(self, export: Export) -> bool:
        """Whether a living process has the stream of an export."""
        return _streams(export) and self._streams.is_moved(export.id)

    def standings(self) -> list[Standing]:
        """How all streams stand.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        return [self._standing(export) for export in self._parts.exports.find() if _streams(export)]

    def _standing(self, export: Export) -> Standing:
        lag, progress = measured(self._parts, export, export.position), self._progress.get(export.id)
        sent = progress.sent if progress else Sent()
        stream = self._streams.get(export.id)
        trouble = f"{stream.trouble['message']} {stream.trouble['hint']}".strip() if stream and stream.trouble else ""
        since = lag.since.timestamp() if lag.since else None
        return Standing(export.name, lag.rows, since, sent.rows, sent.set_aside, trouble)

    @contextlib.contextmanager
    def quiet(self, export: Export, *, anyway: bool = False) -> Iterator[None]:
        """For the time of the block nothing is appended: what was committed up to the export's position is in the
        table, and nothing else. Of exports by runs there is nothing to keep quiet.

        `anyway`: also if it was left with something in flight.

        Raises
        ------
        ConflictError
            It does not come to rest.
        """
        if not _streams(export):
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._locked(export, _taken))
            except _TakenError:
                stack.enter_context(self._held(export))
                self._come_to_rest(export)
            else:
                self._assert_settled(export, anyway=anyway)
            if anyway:
                self._end_write_stream(export)
            yield

    @contextlib.contextmanager
    def _held(self, export: Export) -> Iterator[None]:
        """Whoever moves the stream begins nothing new, for the time of the block; others who need that wait. The lock
        is gone with who has it, so the stream goes on."""
        with self._parts.lock(quiet(export.id)):
            self._streams.count_quiet(export.id)
            yield

    def is_at_work(self, export: Export) -> bool:
        """Whether somebody has the stream of an export, and is in the middle of something."""
        stream = self._streams.get(export.id)
        return stream is not None and stream.run_id is not None and self.is_moved(export)

    def cut_off(self, export: Export) -> None:
        """Whoever has the stream may record nothing of it any more, nor is taken what is on its way: for one that gives
        no sign of life."""
        self._streams.claim(export.id)
        self._end_write_stream(export)

    def _end_write_stream(self, export: Export) -> None:
        """Nothing that is on its way still gets in, if BigQuery can be told so."""
        stream = self._streams.get(export.id)
        if stream is not None and stream.name is not None:
            with (
                contextlib.suppress(TidemillError),
                contextlib.closing(self._client_for(export)) as client,
                contextlib.closing(WriteStreams(client)) as writing,
            ):
                client.policy = Policy(deadline=_ENDED_WITHIN_SECONDS)
                writing.finalize(stream.name)

    def _locked(self, export: Export, waiting: Callable[[], None]) -> contextlib.AbstractContextManager[Held]:
        return self._parts.lock(moving(export.id), waiting=waiting)

    def _assert_settled(self, export: Export, *, anyway: bool) -> None:
        stream = self._streams.get(export.id)
        if stream is not None and stream.epoch:
            stream = self._streams.claim(export.id)  # who was asleep, and has lost the lock, may send nothing then
        if stream is not None and stream.run_id is not None and not anyway:
            raise ConflictError(
                "stream_unfinished",
                f"The stream of {export.name} was interrupted, and nobody goes on with it.",
                hint=f"Go on: tidemill export stream {export.name} --once",
            )

    def _come_to_rest(self, export: Export) -> None:
        """Have whoever moves it pause."""
        end = time.monotonic() + _STILL_WITHIN_SECONDS
        while (stream := self._streams.get(export.id)) is not None and (stream.run_id is not None):
            if time.monotonic() > end:
                raise ConflictError(
                    "stream_busy",
                    f"The stream of {export.name} does not come to rest.",
                    hint="BigQuery may be slow, or the process that streams it does not go on. End that, or try again.",
                )
            time.sleep(0.05)

    def _keep(
        self,
        export: Export,
        by: str,
        stopping: Callable[[], bool],
        said: Callable[[str, TidemillError | None], None],
    ) -> None:
        """Move the stream of one export, again and again."""

        def waiting() -> None:
            if stopping():
                raise Cancelled

        orders = Orders(by, patient=True, stopping=stopping, report=lambda _: None)
        progress = self._progress.setdefault(export.id, Progress(self._parts, export))
        try:
            self._hold_and_move(export, orders, waiting, progress)
            said(export.name, None)
        except Cancelled:
            return
        except TidemillError as error:
            if error.code != DELETED:
                said(export.name, error)
                _wait(_AGAIN_SECONDS, stopping)
        except Exception as error:  # noqa: BLE001 - a bug, which is told; other streams go on
            found = TidemillError("bug", f"This is a bug in Tidemill: {error!r}", hint="Please report it.")
            self._tell(export, found)
            _log.exception("stream %s", export.name)
            said(export.name, found)
            _wait(_AGAIN_SECONDS, stopping)

    def _hold_and_move(self, export: Export, orders: Orders, waiting: Callable[[], None], progress: Progress) -> None:
        """Move it as long as the lock is held. One that is lost with its session of the database is had anew."""
        pause = _FIRST_WAIT
        while True:
            try:
                with self._locked(export, waiting) as held:
                    pause = _FIRST_WAIT
                    self._move(export, orders, held, progress)
                return
            except UnavailableError as error:
                if error.code != LOST or orders.stopping():
                    raise
                progress.tell_trouble(error)
            if _wait(random.uniform(0.5, 1) * pause, orders.stopping):  # noqa: S311
                return
            pause = min(pause * 2, _LONGEST_WAIT)
            self._revive()

    def _revive(self) -> None:
        """Start the database again, if it is the embedded one and was killed."""
        with contextlib.suppress(TidemillError):
            open_postgres(self._parts.settings)

    def _move(self, export: Export, orders: Orders, held: Held, progress: Progress) -> None:
        """Until it is over; again and again while that may help. Who has lost the lock says nothing, and goes."""
        pause = _FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                with told.streaming(self._parts, export), contextlib.closing(self._client_for(export)) as client:
                    client.cancelled = self._forced.is_set
                    client.locate(export.dataset)
                    if not self._first_rows(export, client, orders):
                        return
                    Streamer(self._parts, self._streams, export, client, orders, held, progress).run()
                return
            except Cancelled:
                raise
            except TidemillError as error:
                held.check()
                if error.code == TAKEN_OVER:  # by one that was asleep, and has lost the lock: it goes
                    continue
                self._tell(export, _lasting(error))
                progress.tell_trouble(_lasting(error))
                if orders.stopping() or not isinstance(error, RetryableError | UnavailableError):
                    raise
            if time.monotonic() - began > _LONGEST_WAIT:  # it went well for a while
                pause = _FIRST_WAIT
            if _wait(random.uniform(0.5, 1) * pause, orders.stopping):  # noqa: S311
                return
            pause = min(pause * 2, _LONGEST_WAIT)

    def _tell(self, export: Export, error: TidemillError) -> None:
        """Record why it stands still, if that can be done."""
        with contextlib.suppress(TidemillError):
            self._streams.tell(export.id, {"code": error.code, "message": error.message, "hint": error.hint})

    def _first_rows(self, export: Export, client: Client, orders: Orders) -> bool:
        """Into a table that holds rows already, those that there are now go by a run, which adds only what is missing:
        some of its rows may be ours, of an export before. Those of one in doubt go by runs until that is settled.

        Whether to stream then."""

        def run() -> None:
            self._dispatch.run(export, orders.by, lambda _: None)

        def wait(seconds: float) -> bool:
            self._streams.tell(export.id, None)
            return not orders.patient or _wait(seconds, orders.stopping)

        stream = self._streams.get(export.id)
        if not (export.position or (stream and stream.epoch)):
            self._merged_first(export, client, run)
        return doubt.stream(self._parts, export, run, wait)

    def _merged_first(self, export: Export, client: Client, run: Callable[[], None]) -> None:
        table = client.get_table(export.dataset, export.table_id)
        if table is None or not (table.rows or table.buffered):
            return
        try:
            run()
        except AccessError as error:
            raise AccessError(
                error.code,
                f"The table holds rows already. So that none comes twice, the first rows are merged. {error.message}",
                hint=f"Export into a table that is not there yet; or: {error.hint}",
                raw=error.raw,
            ) from None


def _taken() -> None:
    raise _TakenError


def _lasting(error: TidemillError) -> TidemillError:
    """What is wrong, without for how long it was tried: it is told for longer than that is true."""
    cause = error.__cause__
    return cause if isinstance(error, UnavailableError) and isinstance(cause, TidemillError) else error


def _streams(export: Export) -> bool:
    return ExportSpec.model_validate(export.spec).streams


def _wait(seconds: float, stopping: Callable[[], bool]) -> bool:
    """Wait that long. Whether it is to stop."""
    end = time.monotonic() + seconds
    while not stopping() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
    return stopping()
