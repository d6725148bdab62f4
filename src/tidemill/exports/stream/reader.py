"""Reads what is new from the event store, a window of whole commits at a time, and a window ahead of who sends it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import queue
import threading
import time
from collections.abc import Callable

import numpy as np

from tidemill.errors import Cancelled
from tidemill.events import batches, row_sizes
from tidemill.events.batches import Rows
from tidemill.events.chunks import RejectedRow
from tidemill.events.lake import Commit
from tidemill.exports import selection
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.journal import Place
from tidemill.exports.work import Parts, model_of
from tidemill.store.records import Export
from tidemill.store.streams import WHOLE

#: How many changes are asked for at once.
_CHANGES = 10_000
_LOOKS_EVERY_SECONDS = 0.1
#: How often it is looked whether enough has come.
_WAITS_SECONDS = 0.25
#: How full a request is to be, that rows which are a little larger than on average fit; and the most rows of one.
_FILLED, _MOST_AT_ONCE = 0.95, 50_000
#: Of a row: a request may have 20 MB, and BigQuery's older pages say 10 ("Storage Write API": limits).
MAX_ROW_BYTES = 9_500_000


@dataclasses.dataclass(frozen=True)
class Window:
    """Rows to send, by requests. `spec`: by which they were chosen; `end`: nothing is left up to there.

    `since`, `until`: when its first and last commit were made; `behind`: events that wait after it, as far as is known.
    """

    spec: ExportSpec
    requests: tuple[Rows, ...]
    rejected: tuple[RejectedRow, ...]
    repaired: int
    end: Place
    since: dt.datetime | None
    until: dt.datetime | None
    behind: int


class Reader:
    """Reads in a thread of its own, from a place on."""

    def __init__(self, parts: Parts, export: Callable[[], Export], place: Place, *, patient: bool) -> None:
        """`export`: as it is now; `patient`: little is kept until more has come, as the export says."""
        self._parts, self._export, self._place, self._patient = parts, export, place, patient
        self._windows: queue.Queue[Window | BaseException] = queue.Queue(1)
        self._stop = threading.Event()
        self._seen = -1
        #: Commits from the place on, as far as was asked: to ask takes a tenth of the time that it takes to read one.
        self._known: list[Commit] = []
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidemill-stream-reader", daemon=True)
        self._thread.start()

    def next(self, seconds: float) -> Window | None:
        """The next window; None if there is none within so many seconds. Raises what reading raised."""
        try:
            found = self._windows.get(timeout=seconds) if seconds else self._windows.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def is_done(self) -> bool:
        """Whether all that was committed, when it was looked for last, was read and taken."""
        return self._caught_up.is_set() and self._windows.empty()

    def stop(self) -> None:
        """Read no more, and forget what was read ahead."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._read_on()
        except Cancelled:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where the window is asked for
            self._hand(error)

    def _read_on(self) -> None:
        while not self._stop.is_set():
            window = self._window()
            if window is None:
                continue
            self._place = window.end
            self._known = [commit for commit in self._known if commit.snapshot > window.end[0]]
            self._hand(window)

    def _hand(self, found: Window | BaseException) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._windows.put(found, timeout=_LOOKS_EVERY_SECONDS)
                return

    def _window(self) -> Window | None:
        """The next window, if it is time for it; else it waits a moment."""
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
        return self._read(export, spec, commits)

    def _look(self, export: Export) -> list[Commit]:
        """What was committed since the place; if that is nothing, it waits a moment."""
        newest = self._parts.lake.newest()
        if newest == self._seen:
            self._caught_up.set()
            self._stop.wait(_LOOKS_EVERY_SECONDS)
            return []
        source = self._parts.source(export)
        change, number = self._place
        after = change if number == WHOLE else change - 1
        upto = min(source.catch_up(), after + _CHANGES)
        commits = source.changes(after, upto) if upto > after else []
        if not commits:
            self._seen = newest if upto == source.position() else -1
            self._place = (max(upto, change), WHOLE) if number == WHOLE else self._place
        return commits

    def _read(self, export: Export, spec: ExportSpec, commits: list[Commit]) -> Window:
        last = _enough(commits, self._parts.settings.stream_window_bytes)
        change, number = self._place
        after = change if number == WHOLE else change - 1
        columns = model_of(export).columns_for(json_type=spec.json_type)
        found = batches.pieces(
            self._parts.lake,
            self._parts.source(export),
            selection.of(spec, after, commits[last].snapshot),
            columns,
            handed_at=dt.datetime.now(dt.UTC),
            max_row_bytes=min(MAX_ROW_BYTES, self._parts.settings.max_row_bytes),
            rows_at_once=_rows_at_once(commits[: last + 1], spec.buffer_bytes, len(columns)),
            cancelled=self._stop.is_set,
        )
        fresh = [_behind(rows, self._place) for rows in found]
        return Window(
            spec=spec,
            requests=tuple(rows.slice(*part) for rows in fresh for part in _cut(rows, spec.buffer_bytes)),
            rejected=tuple(row for rows in found for row in rows.rejected),
            repaired=sum(rows.repaired for rows in found),
            end=(commits[last].snapshot, WHOLE),
            since=commits[0].committed_at,
            until=commits[last].committed_at,
            behind=sum(commit.rows for commit in commits[last + 1 :]),
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
    return min(max(spec.buffer_seconds - age, 0.0), spec.buffer_seconds)  # clocks may differ


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
