"""What workers do of schedules: the run of an interval that has ended."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
from collections.abc import Callable, Iterator, Sequence

from tidemill.errors import Cancelled, NotFoundError, TidemillError
from tidemill.exports import alarms, told
from tidemill.exports.dispatch import ELSEWHERE, Dispatch
from tidemill.exports.integrity import Integrity
from tidemill.exports.schedules import retries
from tidemill.exports.schedules.scheduler import schedule_of
from tidemill.exports.spec import ExportSpec
from tidemill.exports.watch import untold
from tidemill.exports.work import Parts
from tidemill.schedules.calendar import Span
from tidemill.schedules.worker import LOST
from tidemill.store.records import Export, Run, Task
from tidemill.store.records_notify import Alarm, Cause
from tidemill.store.schedules import Schedules
from tidemill.store.tasks import Tasks

_log = logging.getLogger(__name__)
BY = "schedule"
#: How often is looked for runs that take too long.
_LOOKS_EVERY_SECONDS = 5.0
#: Most reasons that are told of rows that were set aside.
_REASONS = 3


class Intervals:
    """A worker.Queue."""

    leaves = 0

    def __init__(
        self,
        parts: Parts,
        dispatch: Dispatch,
        integrity: Integrity,
        schedules: Schedules,
        tasks: Tasks,
        paused: Callable[[Export, TidemillError, int], None],
    ) -> None:
        """`paused(export, error, failures)`: called for an export that is paused after so many failures."""
        self._parts, self._dispatch, self._integrity = parts, dispatch, integrity
        self._schedules, self._tasks, self._paused = schedules, tasks, paused

    def any_due(self) -> bool:
        """See worker.Queue."""
        return self._tasks.any_due()

    def take(self, worker: str, limit: int) -> Sequence[Task]:
        """See worker.Queue."""
        return self._tasks.take(worker, limit, self._parts.settings.connection_runs)

    def workers(self) -> list[str]:
        """See worker.Queue."""
        return self._tasks.workers()

    def abandon(self, worker: str) -> int:
        """Of a task that workers die of again and again, that counts as a failure."""
        left = self._tasks.abandon(worker)
        for task in left:
            told.worker_gone(self._parts, task, worker)
            error = retries.killed(task)
            with contextlib.suppress(NotFoundError):  # it was deleted meanwhile
                if error is not None:
                    self._count(self._parts.exports.by_id(task.export_id), task, error, task.due_at)
        return len(left)

    def release(self, worker: str, at_work: Sequence[Task]) -> None:
        """See worker.Queue."""
        self._tasks.release(worker, at_work)

    def perform(self, task: Task) -> None:
        """See that the run of the interval is completed, or that it is tried again."""
        try:
            export = self._parts.exports.by_id(task.export_id)
            self._do(task, export)
        except TidemillError as error:
            self._ended_badly(task, error)
        except Exception as error:  # noqa: BLE001 - a bug, which is told; others go on
            _log.exception("task %s", task.id)
            self._ended_badly(
                task, TidemillError("bug", f"This is a bug in Tidemill: {error!r}", hint="Please report it.")
            )

    def _do(self, task: Task, export: Export) -> None:
        schedule = schedule_of(export)
        limit = retries.limit(schedule, task.tries)
        with self._limited(export, limit) as took_long:
            try:
                run = self._dispatch.interval(export, Span(task.interval_start, task.interval_end), BY)
            except Cancelled:
                if not took_long.is_set():
                    raise
                raise TidemillError(
                    retries.TOOK_LONG,
                    f"The run took more than {limit}, and was stopped; it is tried again, with twice the time.",
                    hint=f"Smaller pieces: a shorter --interval. tidemill export show {export.name}",
                ) from None
        self._tasks.done(task, *self._told(export, run))
        if run.rows_planned:
            _log.info("export %s: %s rows up to %s", export.name, f"{run.rows_planned:,}", task.interval_end)
            with contextlib.suppress(TidemillError):  # the next run looks again
                self._integrity.daily(self._parts.exports.by_id(export.id), BY, untold, background=True)

    def _told(self, export: Export, run: Run) -> tuple[Sequence[Cause], Alarm | None]:
        """Which troubles are over with a run that is completed, and whether it has one of its own."""
        chunks = self._parts.runs.chunks(run.id) if run.rows_planned else []
        rejected = sum(chunk.rows_rejected for chunk in chunks)
        rows = sum(chunk.rows_loaded for chunk in chunks) + rejected
        if not rows:
            return alarms.OF_RUNS, None
        reasons = self._parts.rejects.reasons(str(run.id), _REASONS) if rejected else []
        share = ExportSpec.model_validate(export.spec).reject_share
        alarm = alarms.rejects(export.name, rows, rejected, share, reasons)
        return alarms.OF_RUNS if alarm else (*alarms.OF_RUNS, Cause.REJECTS), alarm

    @contextlib.contextmanager
    def _limited(self, export: Export, limit: dt.timedelta) -> Iterator[threading.Event]:
        """Cancel the export's runs if the block takes longer. Gives what tells whether it did."""
        took_long, over = threading.Event(), threading.Event()

        def watch() -> None:
            pause = limit.total_seconds()
            while not over.wait(pause):
                pause = _LOOKS_EVERY_SECONDS  # one that begins after that is stopped, too
                with contextlib.suppress(TidemillError):
                    for run in self._parts.runs.running(export.id):
                        if run.backfill_id is None and run.worker == self._parts.engine.worker:
                            took_long.set()
                            self._parts.runs.request_cancel(run.id)

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield took_long
        finally:
            over.set()

    def _ended_badly(self, task: Task, error: TidemillError) -> None:
        """See that it is tried again, or that the next interval goes on with its run."""
        if error.code == LOST:
            return  # another worker takes over what this one had
        with contextlib.suppress(TidemillError):  # the database is away: it is released when it is back
            export = self._parts.exports.by_id(task.export_id)
            now = dt.datetime.now(dt.UTC)
            if isinstance(error, Cancelled):
                self._cancelled(task, export, now)
                return
            schedule = schedule_of(export)
            verdict = retries.judged(error, task.tries, schedule, now)
            if error.code in ELSEWHERE:
                self._tasks.again(task, verdict.again_at, task.error, verdict.tries)
                return
            said = {"code": error.code, "message": error.message, "hint": error.hint}
            told.again(self._parts, task, error, verdict.again_at, task.tries)
            waits = None if verdict.counts else alarms.waits(export.name, error, verdict.again_at)
            self._tasks.again(task, verdict.again_at, said, verdict.tries, waits)
            _log.error("export %s: %s %s", export.name, error.message, error.hint)
            if verdict.counts:
                self._count(export, task, error, verdict.again_at)

    def _cancelled(self, task: Task, export: Export, now: dt.datetime) -> None:
        """Somebody has cancelled a run: if it was that of the task, the next interval goes on with it; if it was an
        earlier one, the task waits until then. One that was cancelled because this process stops is not over."""
        own = self._parts.runs.of_interval(export.id, task.interval_end)
        if self._dispatch.interrupted:
            self._tasks.again(task, now, task.error, task.tries - 1)
        elif own is not None and own.status == "cancelled":
            _log.info("export %s: the run was cancelled", export.name)
            self._tasks.done(task)
        else:
            later = schedule_of(export).end_after(now) or now + dt.timedelta(hours=1)
            self._tasks.again(task, later, task.error, 0)

    def _count(self, export: Export, task: Task, error: TidemillError, again_at: dt.datetime) -> None:
        """A failure, for which somebody has to do something; of too many the export is paused."""
        schedule = schedule_of(export)
        since = dt.datetime.now(dt.UTC) - schedule.failures_count_for

        def alarm(number: int) -> Alarm:
            return alarms.failed(export.name, error, again_at, number, schedule)

        number = self._schedules.fail(export.id, task.interval_end, error.code, since, alarm)
        if schedule.pause_after is not None and number >= schedule.pause_after:
            self._paused(export, error, number)
