"""Backfills: a range of event time, exported again an interval a run, beside the runs that export what is new.

A backfill covers what the export had covered when it was made (`upto`): what is newer comes with the next run. Its runs
merge, so over whatever the table holds already no row is there twice. Which intervals are done is told by their runs
alone; a failed one does not stop the others, and is tried again when the backfill is resumed. It is moved by the
process that began it, or, an interval at a time, by any number of workers (`store/pieces.py`).
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import logging
import threading
import time
import uuid
from collections.abc import Callable

from tidemill.errors import Cancelled, ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.exports.dispatch import ELSEWHERE, Dispatch
from tidemill.exports.estimate import Estimate
from tidemill.exports.plan import Planner
from tidemill.exports.watch import untold
from tidemill.exports.work import Parts
from tidemill.store.backfills import Backfills, Sums
from tidemill.store.records import Backfill, Export, Piece, Run

_log = logging.getLogger(__name__)
_LOOKS_EVERY_SECONDS = 0.5
EARLIEST = "earliest"


@dataclasses.dataclass(frozen=True)
class BackfillProgress:
    """How far a backfill is, while it runs."""

    intervals_done: int
    intervals: int
    rows_done: int
    rows: int


@dataclasses.dataclass(frozen=True)
class BackfillView:
    """A backfill with what became of its intervals. `percent`: of its intervals."""

    id: uuid.UUID
    export: str
    status: str
    time_from: dt.datetime | None
    time_to: dt.datetime | None
    every: str
    intervals: int
    intervals_done: int
    intervals_failed: int
    percent: float
    rows: int
    rows_done: int
    created_at: dt.datetime
    created_by: str
    finished_at: dt.datetime | None
    #: Of each interval that was begun: its start, the run's short id, status and error.
    runs: tuple[tuple[str, str, str, str], ...]
    #: What to do about the first that failed.
    hint: str


Report = Callable[[BackfillProgress], None]


class Backfiller:
    """Plans and moves backfills."""

    def __init__(self, parts: Parts, planner: Planner, dispatch: Dispatch, backfills: Backfills) -> None:
        self._parts, self._planner, self._dispatch, self._backfills = parts, planner, dispatch, backfills

    def start(self, export: Export, estimate: Estimate, by: str, *, workers: int | None = None) -> Backfill:
        """Save it, to be moved by this process; or (`workers`) put it into the queue, for so many runs at once.

        Raises
        ------
        ConfigError
            There are no rows in the range; or the table is gone, or has no key.
        ConflictError
            The export has a backfill that is not finished.
        """
        if not estimate.intervals:
            raise ConfigError(
                "backfill_empty", "There are no rows in that range.", hint="tidemill events count --by day"
            )
        self._planner.assert_fit(export)
        return self._backfills.add(
            export.id,
            parallel=workers,
            time_from=estimate.time_from,
            time_to=estimate.time_to,
            every=estimate.every,
            upto=export.position,
            intervals=[
                {"start": start.isoformat() if start else None, "end": end.isoformat() if end else None, "rows": rows}
                for start, end, rows in estimate.intervals
            ],
            worker=None if workers else self._mover(),
            created_by=by,
        )

    def _mover(self) -> str:
        self._parts.engine.launch()
        return self._parts.engine.worker

    def resume(self, export: Export, *, workers: int | None = None) -> Backfill:
        """The export's backfill that is not finished, taken by this process, or for workers: see `start`.

        Raises
        ------
        NotFoundError
            There is none.
        ConflictError
            A living process moves it, or workers do.
        """
        backfill = self.unfinished(export)
        self.assert_not_moving(export)
        return self._backfills.take(backfill, None if workers else self._mover(), workers)

    def assert_none(self, export: Export) -> None:
        """Raise ConflictError if the export has a backfill that may be running: it may send the same rows."""
        if self._backfills.unfinished(export.id):
            raise ConflictError(
                "backfill_unfinished",
                f"{export.name} has a backfill that is not finished.",
                hint=f"tidemill export backfill resume {export.name}, or cancel it.",
            )

    def assert_not_moving(self, export: Export) -> None:
        """Raise ConflictError if a living process moves a backfill of the export."""
        if self.moving(export):
            raise ConflictError(
                "backfill_running",
                f"The backfill of {export.name} is running.",
                hint=f"Wait for it, or stop it: tidemill export backfill pause {export.name}",
            )

    def moving(self, export: Export) -> bool:
        """Whether a living process moves a backfill of the export, or it is in the queue of workers."""
        found = self._backfills.unfinished(export.id)
        if found is None or found.status != "running":
            return False
        return bool(found.parallel or (found.worker and not self._parts.engine.bury(found.worker)))

    def by_id(self, backfill_id: uuid.UUID) -> Backfill:
        """The one with that id; NotFoundError if there is none."""
        return self._backfills.by_id(backfill_id)

    def unfinished(self, export: Export) -> Backfill:
        """The export's backfill that is not finished; NotFoundError if there is none."""
        found = self._backfills.unfinished(export.id)
        if found is None:
            raise NotFoundError(
                "backfill_none",
                f"{export.name} has no backfill that is not finished.",
                hint=f"Begin one: tidemill export backfill {export.name} --from 2026-01-01 --to 2026-02-01",
            )
        return found

    def stop(self, export: Export, status: str) -> Backfill:
        """Pause (its running intervals end) or cancel it (they are cancelled)."""
        backfill = self.unfinished(export)
        self._backfills.mark(backfill.id, status)
        if status == "cancelled":
            for run in self._parts.runs.of_backfill(backfill.id).values():
                if run.status == "running":
                    self._dispatch.cancel(run)
        return self._backfills.by_id(backfill.id)

    def move(self, backfill: Backfill, by: str, parallel: int, report: Report) -> Backfill:
        """Move it to its end, so many intervals at once; or until it is paused, cancelled or interrupted."""
        self._dispatch.begin()
        moving = _Moving(backfill, report)
        with concurrent.futures.ThreadPoolExecutor(parallel) as threads:
            begun = [threads.submit(self._interval, moving, number, by) for number in range(len(backfill.intervals))]
            concurrent.futures.wait(begun)
        broken = any(one.exception() for one in begun)
        if moving.interrupted:
            self._backfills.mark(backfill.id, "paused")
        elif self._ours(backfill):
            self._backfills.mark(backfill.id, "failed" if moving.failed or broken else "completed")
        for one in begun:
            one.result()  # a bug is one here, too
        return self._backfills.by_id(backfill.id)

    def piece(self, piece: Piece) -> None:
        """See that the run of one interval is completed, as a worker. Raises what that does."""
        backfill = self._backfills.by_id(piece.backfill_id)
        self._dispatch.begin()
        moving = _Moving(backfill, untold)
        if self._ours(backfill):
            self._moved(moving, piece.number, backfill.created_by)

    def end(self, backfill_id: uuid.UUID) -> None:
        """Nothing of it is left for workers: it is completed, or has failed."""
        if status := self._backfills.end(backfill_id):
            backfill = self._backfills.by_id(backfill_id)
            name = self._parts.exports.by_id(backfill.export_id).name
            _log.info("the backfill of %s: %s", name, status)

    def _ours(self, backfill: Backfill) -> bool:
        """Whether it is running, and nobody else has taken it since."""
        now = self._backfills.by_id(backfill.id)
        return now.status == "running" and now.worker == backfill.worker and now.parallel == backfill.parallel

    def _interval(self, moving: _Moving, number: int, by: str) -> None:
        if moving.interrupted or not self._ours(moving.backfill):
            return
        try:
            rows = self._moved(moving, number, by)
        except TidemillError as error:  # the run says why; the others go on, unless all are to stop
            moving.failed = True
            if isinstance(error, Cancelled) and self._dispatch.interrupted:
                moving.interrupted = True
        else:
            moving.done(rows)

    def _moved(self, moving: _Moving, number: int, by: str) -> int:
        """See that the run of an interval is completed, whoever moves it. Gives its rows."""
        backfill = moving.backfill
        export = self._parts.exports.by_id(backfill.export_id)
        while True:
            run = self._parts.runs.of_backfill(backfill.id).get(number)
            try:
                if run is None:
                    run = self._dispatch.move(self._planner.over(export, backfill, number, by), untold)
                elif run.status != "completed":
                    run = self._dispatch.retry(run, untold)
                return run.rows_planned
            except ConflictError as conflict:
                if conflict.code not in ELSEWHERE or not self._waited(moving, number):
                    raise

    def _waited(self, moving: _Moving, number: int) -> bool:
        """Wait for another process that moves the run of an interval; whether there was one."""
        waited = False
        while (run := self._parts.runs.of_backfill(moving.backfill.id).get(number)) is not None:
            if run.status != "running":
                return True
            if not run.worker or self._parts.engine.bury(run.worker):
                return waited
            if moving.interrupted or self._dispatch.interrupted:
                raise Cancelled
            waited = True
            time.sleep(_LOOKS_EVERY_SECONDS)
        return False

    def views(self, export: Export | None, *, limit: int) -> list[BackfillView]:
        """Backfills, newest first, of one export or of all."""
        return [self.view(backfill) for backfill in self._backfills.newest(export.id if export else None, limit=limit)]

    def view(self, backfill: Backfill) -> BackfillView:
        """How it stands, with its runs."""
        runs = self._parts.runs.of_backfill(backfill.id)
        done = tuple(number for number, run in runs.items() if run.status == "completed")
        failed = sum(run.status in {"failed", "cancelled"} for run in runs.values())
        hint = next((run.error_hint for run in runs.values() if run.status == "failed" and run.error_hint), "")
        told = tuple(_told(backfill, number, runs[number]) for number in sorted(runs))
        return dataclasses.replace(self.listed(backfill, Sums(done, failed, hint)), runs=told)

    def listed(self, backfill: Backfill, sums: Sums) -> BackfillView:
        """How it stands, as a list tells it: without its runs."""
        done, status = sums.done, backfill.status
        if status == "running" and backfill.parallel is None and not self._is_moved(backfill):
            status = "interrupted"
        return BackfillView(
            id=backfill.id,
            export=self._parts.exports.by_id(backfill.export_id).name,
            status=status,
            time_from=backfill.time_from,
            time_to=backfill.time_to,
            every=backfill.every,
            intervals=len(backfill.intervals),
            intervals_done=len(done),
            intervals_failed=sums.failed,
            percent=round(100 * len(done) / len(backfill.intervals), 1),
            rows=sum(int(interval["rows"]) for interval in backfill.intervals),
            rows_done=sum(int(backfill.intervals[number]["rows"]) for number in done),
            created_at=backfill.created_at,
            created_by=backfill.created_by,
            finished_at=backfill.finished_at,
            runs=(),
            hint=sums.hint,
        )

    def _is_moved(self, backfill: Backfill) -> bool:
        return bool(backfill.worker and self._parts.engine.alive(backfill.worker))


class _Moving:
    """What the threads that move a backfill share."""

    def __init__(self, backfill: Backfill, report: Report) -> None:
        self.backfill, self._report = backfill, report
        self.failed = self.interrupted = False
        self._intervals = self._rows = 0
        self._all = sum(int(interval["rows"]) for interval in backfill.intervals)
        self._counting = threading.Lock()

    def done(self, rows: int) -> None:
        """An interval is completed."""
        with self._counting:
            self._intervals += 1
            self._rows += rows
            self._report(BackfillProgress(self._intervals, len(self.backfill.intervals), self._rows, self._all))


def _told(backfill: Backfill, number: int, run: Run) -> tuple[str, str, str, str]:
    start = str(backfill.intervals[number]["start"] or "all")
    return start, run.id.hex[:8], run.status, run.error_message or ""
