"""Verifications: each is written down; an export may ask for one a day, which brings in what it finds missing.

Amplitude does the same with its exports: it counts the events of the last days, and exports a day again that differs.
"""

from __future__ import annotations

import datetime as dt

from tidemill.errors import Cancelled, ConflictError, NotFoundError
from tidemill.exports import doubt
from tidemill.exports.backfill import Backfiller, Report
from tidemill.exports.estimate import Estimator
from tidemill.exports.spec import ExportSpec
from tidemill.exports.verify import Verified, Verifier
from tidemill.exports.work import Parts
from tidemill.store.records import Export, Verification
from tidemill.store.verifications import Verifications

_INTERVALS_AT_ONCE = 2


class Integrity:
    """Verifies exports, and repairs their tables."""

    def __init__(
        self,
        parts: Parts,
        verifier: Verifier,
        estimator: Estimator,
        backfiller: Backfiller,
        verifications: Verifications,
    ) -> None:
        self._parts, self._verifier, self._estimator = parts, verifier, estimator
        self._backfiller, self._verifications = backfiller, verifications

    def verify(self, export: Export, days: int | None, by: str) -> Verified:
        """Hold the table against the store, and write down how it was."""
        found = self._verified(export, days)
        self._keep(export, found, by, daily=False)
        return found

    def last(self, export: Export) -> Verification | None:
        """The newest one of an export."""
        return self._verifications.last(export.id)

    def daily(self, export: Export, by: str, progress: Report, *, background: bool = False) -> Verified | None:
        """Today's (UTC), if the export asks for one and there was none yet; what is missing is brought in first.

        None, too, if it cannot be today's yet: something else moves rows, or there are none. The next run tries again.
        `background`: workers bring it in, and it is not waited for; the next run verifies the table.

        Raises
        ------
        Cancelled
            This process was told to stop.
        """
        asked = ExportSpec.model_validate(export.spec).verify_days
        if asked is None or not export.position:
            return None
        last = self._verifications.last(export.id, daily=True)
        if last and last.created_at.astimezone(dt.UTC).date() >= dt.datetime.now(dt.UTC).date():
            return None
        if self._backfiller.moving(export):  # rows are on their way
            return None
        try:
            found = self._verified(export, asked or None)
            if found.different and background:
                if not self._is_repaired(export, by) and self._begun(export, found, by):
                    return None
            elif found.different and self._repaired(export, found, by, progress):
                found = self._verified(export, asked or None)
        except ConflictError:
            return None
        self._keep(export, found, by, daily=True)
        return found

    def _verified(self, export: Export, days: int | None) -> Verified:
        with self._parts.watches.planning(export) as client:
            return self._verifier.verify(export, client, days)

    def _is_repaired(self, export: Export, by: str) -> bool:
        """Whether there was a backfill today for what was missing; what is missing still, is told then."""
        last = next(iter(self._backfiller.views(export, limit=1)), None)
        today = dt.datetime.now(dt.UTC).date()
        return bool(last and last.created_by == by and last.created_at.astimezone(dt.UTC).date() >= today)

    def _begun(self, export: Export, found: Verified, by: str) -> bool:
        """Whether there was something that workers bring in now."""
        estimate = self._estimator.repair(export, found)
        if estimate is None or self._unfinished(export):
            return False
        self._backfiller.start(export, estimate, by, workers=_INTERVALS_AT_ONCE)
        return True

    def _repaired(self, export: Export, found: Verified, by: str, progress: Report) -> bool:
        """Whether there was something that a backfill could bring in. One that is not finished is the user's."""
        estimate = self._estimator.repair(export, found)
        if estimate is None or self._unfinished(export):
            return False
        backfill = self._backfiller.start(export, estimate, by)
        moved = self._backfiller.move(backfill, by, _INTERVALS_AT_ONCE, progress)
        if self._parts.watches.interrupted:
            raise Cancelled(
                "Cancelled while rows that the table lacked were brought in.",
                hint=f"tidemill export backfill resume {export.name}; the next run verifies the table.",
            )
        return moved.status == "completed"

    def _unfinished(self, export: Export) -> bool:
        try:
            self._backfiller.unfinished(export)
        except NotFoundError:
            return False
        return True

    def _keep(self, export: Export, found: Verified, by: str, *, daily: bool) -> None:
        doubt.verified(self._parts, export, found)
        self._verifications.add(
            export.id,
            daily=daily,
            since=found.since,
            expected=found.expected,
            rows=found.rows,
            missing=sum(day.missing for day in found.different),
            duplicated=sum(day.duplicated for day in found.different),
            unexpected=sum(day.foreign for day in found.different),
            days_different=len(found.different),
            bytes_billed=found.bytes_billed,
            created_by=by,
        )
