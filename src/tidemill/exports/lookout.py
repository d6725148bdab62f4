"""Looks now and then for what is wrong with exports although nobody has failed at anything, and has people told of it.

What it finds is in the database, so any number of processes may look: of each trouble people are told once.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable

from tidemill.exports import alarms
from tidemill.schedules import telling
from tidemill.store.database import Database
from tidemill.store.late import Late
from tidemill.store.records_notify import Cause
from tidemill.store.schedules import Schedules
from tidemill.store.streams import Streams
from tidemill.store.troubles import ONCE_WITHIN, Troubles

LATE = telling.LATE
#: Intervals that ended within that are looked at.
LATELY = dt.timedelta(hours=1)
_LOOKS_EVERY_SECONDS, _LOOKS_FOR_GAPS_EVERY = 60.0, 15
#: Who begins the runs of streams in a server.
_SERVER = "tidemill serve"


class Lookout:
    """See the module."""

    def __init__(self, late: Late, troubles: Troubles, schedules: Schedules, streams: Streams) -> None:
        self._late, self._troubles, self._schedules, self._streams = late, troubles, schedules, streams
        self._looked_at = time.monotonic()  # what is overdue when a server begins is begun by it in a moment
        self._looks = 0

    @classmethod
    def of(cls, database: Database) -> Lookout:
        """That of an installation."""
        return cls(Late(database), Troubles(database), Schedules(database), Streams(database))

    def look_now_and_then(self) -> None:
        """Look, if that is due."""
        if time.monotonic() - self._looked_at >= _LOOKS_EVERY_SECONDS:
            self._looked_at = time.monotonic()
            self.look(gaps=self._looks % _LOOKS_FOR_GAPS_EVERY == 0)
            self._looks += 1

    def look(self, *, gaps: bool = True, now: dt.datetime | None = None) -> None:
        """Look at all of it; `gaps`: also for intervals without a run."""
        self._look_for_overdue(now)
        self._look_at_streams(now)
        if gaps:
            self._look_for_gaps(now)

    def _look_for_overdue(self, now: dt.datetime | None) -> None:
        found, known = self._late.overdue(LATE), self._told(Cause.OVERDUE, now)
        for one in found:
            if one.export_id not in known:
                self._troubles.seen(one.export_id, alarms.overdue(one.name, one.since), now)
        self._end(Cause.OVERDUE, {one.export_id for one in found}, self._is_idle, now)

    def _look_for_gaps(self, now: dt.datetime | None) -> None:
        """A gap stays one: that it is not seen any more is no news."""
        found, known = self._late.gaps(LATELY), self._told(Cause.MISSING, now)
        for one in found:
            if one.export_id not in known:
                self._troubles.seen(one.export_id, alarms.missing(one.name, one.start, one.finish), now)
        self._end(Cause.MISSING, {one.export_id for one in found}, lambda _: True, now)

    def _look_at_streams(self, now: dt.datetime | None) -> None:
        seen = set()
        for one in self._late.streams():
            if one.trouble:
                alarm = alarms.stream(one.name, one.trouble)
            elif one.moved_by == _SERVER and not self._streams.is_moved(one.export_id):
                alarm = alarms.unmoved(one.name)
            else:
                continue
            seen.add(one.export_id)
            self._troubles.seen(one.export_id, alarm, now)
        moment = now or self._schedules.now()
        # One that is tried again has no trouble at first.
        seen |= {one.export_id for one in self._troubles.lasting(Cause.STREAM)
                 if moment - one.seen_at < alarms.STANDS_STILL}  # fmt: skip
        self._end(Cause.STREAM, seen, lambda _: False, now)

    def _told(self, cause: Cause, now: dt.datetime | None) -> set[uuid.UUID]:
        """Exports of which that is told, and need not be told now: there may be thousands."""
        moment = now or self._schedules.now()
        lasting = self._troubles.lasting(cause)
        return {one.export_id for one in lasting if one.told_at and moment - one.told_at < ONCE_WITHIN}

    def _end(
        self, cause: Cause, seen: set[uuid.UUID], quietly: Callable[[uuid.UUID], bool], now: dt.datetime | None
    ) -> None:
        """Troubles that are not seen any more are over."""
        for trouble in self._troubles.lasting(cause):
            if trouble.export_id not in seen:
                self._troubles.over(trouble.export_id, [cause], quietly=quietly(trouble.export_id), now=now)

    def _is_idle(self, export_id: uuid.UUID) -> bool:
        """Whether nothing is to run any more: that is why nothing is overdue."""
        standing = self._schedules.get(export_id)
        return standing is None or standing.paused_at is not None or standing.next_end is None
