"""What a user can do with backfills: see what one would move, begin one, pause it, go on with it, cancel it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tidemill.errors import ConflictError, NotFoundError
from tidemill.exports.assembly import Assembly
from tidemill.exports.backfill import BackfillProgress, BackfillView
from tidemill.exports.estimate import Estimate
from tidemill.exports.watch import untold
from tidemill.store.records import Backfill


class BackfillService:
    """Backfills."""

    def __init__(self, made: Assembly) -> None:
        self._exports, self._backfiller, self._estimator = made.books.exports, made.backfiller, made.estimator

    def estimate(self, export: str, time_from: str, time_to: str | None, every: str | None) -> Estimate:
        """What a backfill would move. `time_from` may be "earliest"; `every`: the size of its intervals."""
        return self._estimator.estimate(self._exports.get(export), time_from, time_to, every)

    def begin(
        self,
        export: str,
        estimate: Estimate,
        *,
        by: str,
        parallel: int,
        progress: Callable[[BackfillProgress], None] = untold,
        background: bool = False,
    ) -> BackfillView:
        """Export a range of event time again, merged with what the table holds. `background`: workers do it, and it is
        not waited for.

        Raises
        ------
        ConfigError
            There is nothing in the range.
        ConflictError
            A backfill of this export is not finished.
        """
        owner = self._exports.get(export)
        begun = self._backfiller.start(owner, estimate, by, workers=parallel if background else None)
        return self._moved(begun, by, parallel, progress)

    def resume(
        self,
        export: str,
        *,
        by: str,
        parallel: int | None = None,
        progress: Callable[[BackfillProgress], None] = untold,
        background: bool = False,
    ) -> BackfillView:
        """Go on with the backfill that was paused or interrupted; try its failed intervals again. `parallel`: so many
        of its intervals at once; None: as many as before."""
        parallel = parallel or self._backfiller.unfinished(self._exports.get(export)).parallel or 1
        resumed = self._backfiller.resume(self._exports.get(export), workers=parallel if background else None)
        return self._moved(resumed, by, parallel, progress)

    def _moved(
        self, backfill: Backfill, by: str, parallel: int, progress: Callable[[BackfillProgress], None]
    ) -> BackfillView:
        if backfill.parallel is None:
            backfill = self._backfiller.move(backfill, by, parallel, progress)
        return self._backfiller.view(backfill)

    def stop(self, export: str, *, cancel: bool) -> BackfillView:
        """Pause the backfill: what is begun ends. Or cancel it, with its runs and their BigQuery jobs."""
        status = "cancelled" if cancel else "paused"
        return self._backfiller.view(self._backfiller.stop(self._exports.get(export), status))

    def get(self, export: str, backfill_id: uuid.UUID, *, unfinished: bool = False) -> BackfillView:
        """One of an export.

        Raises
        ------
        NotFoundError
            There is no such backfill of it.
        ConflictError
            It is over, and is wanted to be `unfinished`.
        """
        owner, found = self._exports.get(export), self._backfiller.by_id(backfill_id)
        if found.export_id != owner.id:
            raise NotFoundError(
                "backfill_unknown", f"{owner.name} has no such backfill.", hint="tidemill export backfill list"
            )
        if unfinished and found.status in {"completed", "cancelled"}:
            raise ConflictError("backfill_over", f"The backfill is {found.status}.", hint="Begin another one.")
        return self._backfiller.view(found)

    def find(self, export: str | None, *, limit: int) -> list[BackfillView]:
        """Backfills, newest first, of one export or of all."""
        return self._backfiller.views(self._exports.get(export) if export else None, limit=limit)
