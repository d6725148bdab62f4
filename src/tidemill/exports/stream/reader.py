"""Reads what is new from the event store, windows of whole commits: two at a time, and ahead of who sends them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import queue
import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from tidemill.errors import Cancelled
from tidemill.events import batches, row_sizes
from tidemill.events.chunks import RejectedRow
from tidemill.events.ledger import Commit
from tidemill.events.sendable import Rows
from tidemill.exports import selection
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.journal import Place
from tidemill.exports.work import Parts, model_of
from tidemill.store.records import Export
from tidemill.store.streams import WHOLE

#: How many changes are asked for at once.
_CHANGES = 10_000
_LOOKS_EVERY_SECONDS = 0.1
#: So many windows are read at a time, each by one thread; and so many are there that were not taken.
_AT_ONCE, _AHEAD = 2, 2
#: How often it is looked whether enough has come.
_WAITS_SECONDS = 0.25
#: How full a request is to be, that rows which are a little larger than on average fit; and the most rows of one.
_FILLED, _MOST_AT_ONCE = 0.95, 50_000
#: Of a row: a request may have 20 MB, and BigQuery's older pages say 10 ("Storage Write API": limits).
MAX_ROW_BYTES = 9_500_000


@dataclasses.dataclass(frozen=True)
class Window:
    """Rows to send, by requests. `spec`: by which they were chosen; `end`: nothing is left up to there.

    `since`, `until`: when its first and last commit were made.
    """

    spec: ExportSpec
    requests: tuple[Rows, ...]
    rejected: tuple[RejectedRow, ...]
    repaired: int
    end: Place
    since: dt.datetime | None
    until: dt.datetime | None


class Reader:
    """Reads in threads of its own, from a place on."""

    def __init__(self, parts: Parts, export: Callable[[], Export], place: Place, *, patient: bool) -> None:
        """`export`: as it is now; `patient`: little is kept until more has come, as the export says."""
        self._parts, self._export, self._place, self._patient = parts, export, place, patient
        self._windows: queue.SimpleQueue[Future[Window]] = queue.SimpleQueue()
        self._next: Future[Window] | None = None
        self._room = threading.Semaphore(_AHEAD)
        self._stop = threading.Event()
        self._seen = -1
        #: Commits from the place on, as far as was asked: to ask takes a tenth of the time that it takes to read one.
        self._known: list[Commit] = []
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidemill-stream-reader", daemon=True)
        self._thread.start()

    def next(self, seconds: float) -> Window | None:
        """The next window; None if there is none within so many seconds. Raises what reading raised."""
        end = time.monotonic() + seconds
        if self._next is None:
            with contextlib.suppress(queue.Empty):
                self._next = self._windows.get(timeout=seconds) if seconds else self._windows.get_nowait()
        if self._next is None or not futures.wait([self._next], max(end - time.monotonic(), 0)).done:
            return None
        found, self._next = self._next, None
        self._room.release()
        return found.result()

    def is_done(self) -> bool:
        """Whether all that was committed, when it was looked for last, was read and taken."""
        return self._caught_up.is_set() and self._next is None and self._windows.empty()

    def stop(self) -> None:
        """Read no more, and forget what was read ahead."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE, "tidemill-stream-reads") as threads:
            try:
                while not self._stop.is_set():
                    self._read_on(threads)
            except Cancelled:
                return
            except BaseException as error:  # noqa: BLE001 - it is raised where the window is asked for
                failed: Future[Window] = Future()
                failed.set_exception(error)
                self._windows.put(failed)

    def _read_on(self, threads: ThreadPoolExecutor) -> None:
        """Have the next window read, if there is room for one and it is time for it; else wait a moment."""
        if not self._room.acquire(timeout=_LOOKS_EVERY_SECONDS):
            return
        read = self._window()
        if read is None:
            self._room.release()
        else:
            self._windows.put(threads.submit(read))

    def _window(self) -> Callable[[], Window] | None:
        """What reads the next window, if it is time for it; else it waits a moment."""
        if not self._known and self._is_still():
            return None
        export = self._export()
        commits = self._known
        if sum(commit.bytes for commit in commits) < self._parts.settings.stream_window_bytes:
            commits = self._known = self._look(export)
        if not commits:
            return None
        spec = ExportSpec.model_validate(export.spec)
        if self._patient and (wait := _waits(commits, spec)):
            self._stop.wait(min(wait, _WAITS_SECONDS))
            return None
        self._caught_up.clear()
        last, place = _enough(commits, self._parts.settings.stream_window_bytes), self._place
        self._known, self._place = commits[last + 1 :], (commits[last].snapshot, WHOLE)
        return functools.partial(self._read, export, spec, place, commits[: last + 1])

    def _is_still(self) -> bool:
        """Whether nothing was committed since it was looked last; then it waits a moment."""
        if self._parts.lake.newest() != self._seen:
            return False
        self._caught_up.set()
        self._stop.wait(_LOOKS_EVERY_SECONDS)
        return True

    def _look(self, export: Export) -> list[Commit]:
        """What was committed since the place."""
        newest = self._parts.lake.newest()
        source = self._parts.source(export)
        change, number = self._place
        after = change if number == WHOLE else change - 1
        upto = source.catch_up()
        if upto > after + _CHANGES and (first := self._parts.lake.next(after)):  # where a restore has left many out
            after = max(after, first - 1)
        upto = min(upto, after + _CHANGES)
        commits = source.changes(after, upto) if upto > after else []
        if not commits:
            self._seen = newest if upto == source.position() else -1
            self._place = (max(upto, change), WHOLE) if number == WHOLE else self._place
        return commits

    def _read(self, export: Export, spec: ExportSpec, place: Place, commits: list[Commit]) -> Window:
        """A window: what these commits hold after the place."""
        change, number = place
        after, upto = change if number == WHOLE else change - 1, commits[-1].snapshot
        columns = model_of(export).columns_for(json_type=spec.json_type)
        found = batches.pieces(
            self._parts.lake,
            self._parts.source(export),
            selection.of(spec, after, upto),
            columns,
            handed_at=dt.datetime.now(dt.UTC),
            max_row_bytes=min(MAX_ROW_BYTES, self._parts.settings.max_row_bytes),
            rows_at_once=_rows_at_once(commits, spec.buffer_bytes, len(columns)),
            cancelled=self._stop.is_set,
        )
        fresh = [_behind(rows, place) for rows in found]
        return Window(
            spec=spec,
            requests=tuple(rows.slice(*part) for rows in fresh for part in _cut(rows, spec.buffer_bytes)),
            rejected=tuple(row for rows in found for row in rows.rejected),
            repaired=sum(rows.repaired for rows in found),
            end=(upto, WHOLE),
            since=commits[0].committed_at,
            until=commits[-1].committed_at,
        )


def _behind(rows: Rows, place: Place) -> Rows:
    """Those of the rows that come after a place in the first change."""
    change, number = place
    done = int(np.searchsorted(rows.changes, change, "right")) if number != WHOLE else 0
    done = int(np.searchsorted(rows.numbers[:done], number, "right"))
    return rows.slice(done, len(rows.sizes))


def _rows_at_once(commits: list[Commit], wanted: int, columns: int) -> int:
    """So many rows as make a request that is nearly full, if they are as large as the commits' are on average."""
    rows = sum(commit.rows for commit in commits)
    size = sum(commit.bytes for commit in commits) / max(rows, 1) + row_sizes.FIXED_BYTES * columns
    return min(max(int(_FILLED * wanted / size), 1), _MOST_AT_ONCE)


def _waits(commits: list[Commit], spec: ExportSpec) -> float:
    """How many seconds to wait for more, before that little is sent."""
    first = commits[0].committed_at
    if first is None or sum(commit.bytes for commit in commits) >= spec.buffer_bytes:
        return 0.0
    age = time.time() - first.timestamp()
    return max(spec.buffer_seconds - age, 0.0) if age >= 0 else 0.0  # by a clock that was ahead: nobody knows


def _enough(commits: list[Commit], wanted: int) -> int:
    """The number of the last commit of a window of about so many bytes: commits are read whole."""
    size = 0
    for number, commit in enumerate(commits):
        size += commit.bytes
        if size >= wanted:
            return max(number - 1, 0) if size > 2 * wanted else number
    return len(commits) - 1


def _cut(rows: Rows, size: int) -> list[tuple[int, int]]:
    """Parts of the rows of about so many bytes, not more, if a row has less; one row at least."""
    ends = np.cumsum(rows.sizes)
    parts, start = [], 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        end = max(int(np.searchsorted(ends, before + size, "right")), start + 1)
        parts.append((start, end))
        start = end
    return parts
