"""Looks now and then for syncs that are due and that nobody has begun, and has people told of them.

What it finds is in the database, so any number of processes may look: of each trouble people are told once.
"""

from __future__ import annotations

import datetime as dt
import time

from tidemill.errors import NotFoundError
from tidemill.reverse_etl import alarms
from tidemill.schedules.telling import LATE
from tidemill.store.database import Database
from tidemill.store.records_notify import Cause, Trouble
from tidemill.store.sync_things import Syncs
from tidemill.store.troubles import ONCE_WITHIN, Troubles

_LOOKS_EVERY_SECONDS = 60.0


class SyncLookout:
    """See the module."""

    def __init__(self, syncs: Syncs, troubles: Troubles) -> None:
        self._syncs, self._troubles = syncs, troubles
        self._looked_at = time.monotonic()  # what is overdue when a server begins is begun by it in a moment

    @classmethod
    def of(cls, database: Database) -> SyncLookout:
        """That of an installation."""
        return cls(Syncs(database), Troubles(database))

    def look_now_and_then(self) -> None:
        """Look, if that is due."""
        if time.monotonic() - self._looked_at >= _LOOKS_EVERY_SECONDS:
            self._looked_at = time.monotonic()
            self.look()

    def look(self, now: dt.datetime | None = None) -> None:
        """Look at all of them."""
        found = {sync.id: sync for sync in self._syncs.overdue(LATE)}
        lasting = self._troubles.lasting(Cause.OVERDUE, syncs=True)
        moment = now or self._syncs.now()
        told = {one.export_id for one in lasting if one.told_at and moment - one.told_at < ONCE_WITHIN}
        for sync in found.values():
            if sync.id not in told and sync.next_at is not None:
                self._troubles.seen(sync.id, alarms.overdue(sync, sync.next_at), now)
        for trouble in lasting:
            if trouble.export_id not in found:
                quietly = self._is_idle(trouble)
                self._troubles.over(trouble.export_id, [Cause.OVERDUE], quietly=quietly, now=now)

    def _is_idle(self, trouble: Trouble) -> bool:
        """Whether nothing is to run any more: that is why nothing is overdue."""
        try:
            sync = self._syncs.by_id(trouble.export_id)
        except NotFoundError:
            return True
        return sync.paused_at is not None or (sync.next_at is None and sync.worker is None)
