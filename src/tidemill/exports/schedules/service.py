"""What a user can do with schedules: pause and unpause, see what is due, what is missing and what is in trouble."""

from __future__ import annotations

import datetime as dt
import logging

from tidemill.errors import ConfigError, NotFoundError, TidemillError
from tidemill.exports import alarms, selection, told
from tidemill.exports.backfill import Backfiller
from tidemill.exports.schedules.due import Due
from tidemill.exports.schedules.scheduler import Scheduler, next_end, schedule_of
from tidemill.exports.spec import ExportSpec
from tidemill.exports.work import Parts
from tidemill.store.records import Export, Standing, Task
from tidemill.store.schedules import Schedules
from tidemill.store.tasks import Tasks

_log = logging.getLogger(__name__)
#: Who has not begun what is due after so long is not there, or has too much to do.
_LATE = dt.timedelta(minutes=5)


class Scheduling:
    """Schedules of exports."""

    def __init__(
        self, parts: Parts, schedules: Schedules, tasks: Tasks, scheduler: Scheduler, backfiller: Backfiller
    ) -> None:
        self._parts, self._schedules, self._tasks = parts, schedules, tasks
        self._scheduler, self._backfiller = scheduler, backfiller

    def changed(self, before: Export, after: Export) -> None:
        """An export was edited: the interval that is next ends as the schedule says now.

        What was run by hand alone begins with the interval that it is now; what has another start begins there.
        """
        was, schedule = schedule_of(before), schedule_of(after)
        if was == schedule:
            return
        replanned = False
        while not replanned:  # a scheduler may have gone on meanwhile
            standing, now = self._standing(after), self._schedules.now()
            begins_anew = was.by_hand or (standing.next_end is None and not schedule.by_hand)
            start, expected = standing.next_start, standing.expected_from
            if begins_anew or start > now:  # nothing was run yet, or nothing is to be
                start = expected = schedule.first_start(now)
            elif schedule.start_at and schedule.start_at > start:
                start = expected = schedule.start_at
            replanned = self._schedules.replan(standing, start, next_end(schedule, start), expected)
        self._tasks.hasten(after.id)

    def pause(self, name: str, by: str) -> Export:
        """No run begins any more. What runs, ends.

        Raises
        ------
        ConfigError
            It is a stream, or is paused already.
        """
        export = self._by_runs(name)
        self._standing(export)
        if not self._schedules.pause(export.id, by, None):
            raise ConfigError("export_paused", f"{name} is paused already.", hint=f"tidemill export unpause {name}")
        return export

    def pause_failing(self, export: Export, error: TidemillError, failures: int) -> None:
        """An export that failed again and again is paused, and its backfill cancelled."""
        reason = {"code": error.code, "message": f"It failed {failures} times. {error.message}", "hint": error.hint}
        if not self._schedules.pause(export.id, "schedule", reason, alarms.paused(export.name, error, failures)):
            return
        _log.error("export %s is paused. %s", export.name, reason["message"])
        told.paused(self._parts, export, error, failures)
        try:
            self._backfiller.stop(export, "cancelled")
        except NotFoundError:
            return

    def unpause(self, name: str, *, skip: bool) -> int:
        """Runs begin again. The intervals of the time in which it was paused are run, as after any other time in which
        nothing ran; or (`skip`) left out, with what was acknowledged in them. Gives how many rows are left out.

        Raises
        ------
        ConfigError
            It is not paused.
        ConflictError
            It is to skip, and a run is not finished.
        """
        export = self._by_runs(name)
        if self._standing(export).paused_at is None:
            raise ConfigError("export_not_paused", f"{name} is not paused.", hint=f"tidemill export show {name}")
        rows = self._skip(export) if skip else 0
        self._schedules.forgive(export.id)
        self._tasks.hasten(export.id)
        self._schedules.change(export.id, paused_at=None, paused_by=None, pause_reason=None)
        return rows

    def _skip(self, export: Export) -> int:
        """Go on with the interval that it is now, and what is acknowledged in it."""
        schedule, source = schedule_of(export), self._parts.source(export)
        standing = self._standing(export)
        start = max(schedule.first_start(self._schedules.now()), standing.next_start)
        upto = max(source.until(start, export.position), export.position)
        rows = source.count(selection.of(ExportSpec.model_validate(export.spec), export.position, upto))
        self._parts.exports.skip(export.id, export.position, upto)
        self._tasks.clear(export.id)
        self._schedules.replan(standing, start, next_end(schedule, start), start)  # paused: no scheduler goes on
        return rows

    def due(self, export: Export) -> Due | None:
        """How the schedule of an export stands; None of a stream."""
        if ExportSpec.model_validate(export.spec).streams:
            return None
        standing, tasks = self._standing(export), self._tasks.of_export(export.id)
        schedule = schedule_of(export)
        following = standing.next_end and schedule.begins_at(str(export.id), standing.next_end)
        return Due(
            next_at=None if standing.paused_at else min([task.due_at for task in tasks[:1]], default=following),
            queued=len(tasks),
            trouble=next((task.error for task in tasks if task.error), None),
            paused_at=standing.paused_at,
            paused_by=standing.paused_by,
            pause_reason=standing.pause_reason,
            missing=tuple(self._schedules.missing(export.id)),
            overdue=next((one.since for one in self._parts.books.late.overdue(_LATE, export.id)), None),
        )

    def queue(self, export: Export) -> list[Task]:
        """Intervals that have ended, and whose run is not completed."""
        return self._tasks.of_export(export.id)

    def _by_runs(self, name: str) -> Export:
        export = self._parts.exports.get(name)
        if ExportSpec.model_validate(export.spec).streams:
            raise ConfigError(
                "export_streams", f"{name} is a stream: it has no schedule.", hint="tidemill export delete ends it."
            )
        return export

    def _standing(self, export: Export) -> Standing:
        found = self._schedules.get(export.id)
        if found is None:
            self._scheduler.settle(export)
            found = self._schedules.get(export.id)
        if found is None:
            raise NotFoundError("export_unknown", "The export was deleted.", hint="tidemill export list")
        return found
