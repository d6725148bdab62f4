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
from tidemill.store.records import Export, Standing
from tidemill.store.schedules import Ready, Schedules
from tidemill.store.tasks import MOST_QUEUED

_log = logging.getLogger(__name__)
#: Exports that are looked at, and of these such whose intervals are put into the queue by one transaction.
_AT_ONCE, _TOGETHER = 1_000, 250


class Scheduler:
    """See the module."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def look(self, now: dt.datetime) -> int:
        """Put into the queue what is due. Gives how many intervals that were."""
        for export in self._schedules.without():
            with _kept_going(export.id):
                self.settle(export)
        ready = []
        for standing, export, queued in self._schedules.due(now, _AT_ONCE):
            with _kept_going(export.id):
                if queued < MOST_QUEUED:
                    ready.append(_ready(standing, export, now, MOST_QUEUED - queued))
        parts = [ready[start : start + _TOGETHER] for start in range(0, len(ready), _TOGETHER)]
        done = {export_id for part in parts for export_id in self._schedules.queue_all(part)}
        return sum(len(one.spans) for one in ready if one.standing.export_id in done)

    def settle(self, export: Export) -> None:
        """The first interval of a new export is the one in which it was made."""
        schedule = schedule_of(export)
        start = schedule.first_start(export.created_at)
        self._schedules.settle(export.id, start, next_end(schedule, start))

    def now(self) -> dt.datetime:
        """The time by the database's clock, which is the same for all machines."""
        return self._schedules.now()


def _ready(standing: Standing, export: Export, now: dt.datetime, most: int) -> Ready:
    """The intervals of an export that have ended."""
    schedule = schedule_of(export)
    spans = schedule.due(standing.next_start, now, most)
    named = [(span.start, span.end, schedule.begins_at(str(export.id), span.end)) for span in spans]
    return Ready(standing, named, next_end(schedule, spans[-1].end if spans else standing.next_start))


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
