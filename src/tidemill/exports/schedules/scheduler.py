"""Puts intervals that have ended into the queue. Any number of processes may: the database lets one be first."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import uuid
from collections.abc import Iterator

from tidemill.errors import NotFoundError, UnavailableError
from tidemill.exports.spec import ExportSpec
from tidemill.schedules.calendar import Schedule
from tidemill.store.exports import Exports
from tidemill.store.records import Export, Standing
from tidemill.store.schedules import Schedules
from tidemill.store.tasks import MOST_QUEUED, Tasks

_log = logging.getLogger(__name__)
_AT_ONCE = 1_000


class Scheduler:
    """See the module."""

    def __init__(self, exports: Exports, schedules: Schedules, tasks: Tasks) -> None:
        self._exports, self._schedules, self._tasks = exports, schedules, tasks

    def look(self, now: dt.datetime) -> int:
        """Put into the queue what is due. Gives how many intervals that were."""
        for export in self._schedules.without():
            with _kept_going(export.id):
                self.settle(export)
        return sum(self._queue(standing, now) for standing in self._schedules.due(now, _AT_ONCE))

    def settle(self, export: Export) -> None:
        """The first interval of a new export is the one in which it was made."""
        schedule = schedule_of(export)
        start = schedule.first_start(export.created_at)
        self._schedules.settle(export.id, start, next_end(schedule, start))

    def _queue(self, standing: Standing, now: dt.datetime) -> int:
        with _kept_going(standing.export_id):
            export = self._exports.by_id(standing.export_id)
            schedule, room = schedule_of(export), MOST_QUEUED - self._tasks.count(standing.export_id)
            if room <= 0:
                return 0
            spans = schedule.due(standing.next_start, now, room)
            named = [(span.start, span.end, schedule.begins_at(str(export.id), span.end)) for span in spans]
            end = next_end(schedule, spans[-1].end if spans else standing.next_start)
            return len(spans) if self._schedules.queue(standing, named, end) else 0
        return 0

    def now(self) -> dt.datetime:
        """The time by the database's clock, which is the same for all machines."""
        return self._schedules.now()


@contextlib.contextmanager
def _kept_going(export_id: uuid.UUID) -> Iterator[None]:
    """One schedule that cannot be counted stops no other. Without a database, all wait."""
    try:
        yield
    except UnavailableError:
        raise
    except NotFoundError:  # it was deleted meanwhile
        return
    except Exception:  # noqa: BLE001 - a bug, which is told
        _log.exception("the schedule of export %s", export_id)


def schedule_of(export: Export) -> Schedule:
    """The schedule of an export; of a stream one that is never due."""
    spec = ExportSpec.model_validate(export.spec)
    return Schedule(interval=None) if spec.streams else spec.schedule


def next_end(schedule: Schedule, start: dt.datetime) -> dt.datetime | None:
    """The end of the interval that begins then; None if it is not run any more."""
    end = schedule.end_after(start)
    return None if end is None or (schedule.end_at and end > schedule.end_at) else end
