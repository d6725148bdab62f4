"""What workers do of syncs: the run of one that is due, and what becomes of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import Cancelled, RetryableError, TidemillError, UnavailableError
from tidemill.reverse_etl import due
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.reverse_etl.watch import Interrupted, Watch
from tidemill.store.records_sync import Sync, SyncRun
from tidemill.store.sync_things import Syncs

if TYPE_CHECKING:
    from tidemill.reverse_etl.syncs import SyncService

_log = logging.getLogger(__name__)
BY = "schedule"
#: Seconds until what may pass by itself is tried again; twice that each time after, up to a bound.
_FIRST_SECONDS, _MOST_SECONDS = 15.0, 3600.0
#: What says that another process is at it: it is looked again soon.
_ELSEWHERE = {"sync_running"}


class SyncQueue:
    """A schedules.worker.Queue."""

    leaves = 0

    def __init__(self, book: Syncs, syncs: Callable[[], SyncService], stopping: Callable[[], bool]) -> None:
        """`syncs`: makes what runs them, when one is due; `stopping`: whether this process is to end."""
        self._book, self._syncs, self._stopping = book, syncs, stopping

    def any_due(self) -> bool:
        """See worker.Queue."""
        return self._book.any_due()

    def take(self, worker: str, limit: int) -> Sequence[Sync]:
        """See worker.Queue."""
        return self._book.take(worker, limit)

    def workers(self) -> list[str]:
        """See worker.Queue."""
        return self._book.workers()

    def abandon(self, worker: str) -> int:
        """See worker.Queue."""
        return self._book.abandon(worker)

    def release(self, worker: str, at_work: Sequence[Sync]) -> None:
        """See worker.Queue."""
        self._book.release(worker, [sync.id for sync in at_work])

    def perform(self, item: Sync) -> None:
        """Run a sync; say when it is due again."""
        try:
            watch = Watch(lambda _what, _done, _all: None, self._stopping)
            syncs = self._syncs()
            over = syncs.runner.execute(item, lambda found: syncs.begin(found, BY), watch)
        except Interrupted:
            self._settle(item, self._book.now(), tries=max(0, item.tries - 1))
        except TidemillError as error:
            self._failed(item, error)
        except Exception as error:  # noqa: BLE001 - a bug, which is told; others go on
            _log.exception("sync %s", item.name)
            self._failed(item, TidemillError("bug", f"This is a bug in Tidemill: {error!r}", hint="Please report it."))
        else:
            self._over(item, over)

    def _over(self, sync: Sync, run: SyncRun) -> None:
        """Its run has ended, in whatever way."""
        with contextlib.suppress(TidemillError):  # the database is away: it is released when that is back
            following = due.following(sync, self._book.now())
            if run.status == "failed":
                self._count(sync, following, run.error)
            else:
                self._settle(sync, following, tries=0, failures=0)

    def _failed(self, sync: Sync, error: TidemillError) -> None:
        """It could not be run to its end."""
        _log.error("sync %s: %s %s", sync.name, error.message, error.hint)
        with contextlib.suppress(TidemillError):
            now = self._book.now()
            if isinstance(error, RetryableError | UnavailableError) or error.code in _ELSEWHERE:
                seconds = min(_FIRST_SECONDS * 2 ** min(sync.tries - 1, 20), _MOST_SECONDS)
                pause = seconds * random.uniform(0.5, 1)  # noqa: S311
                self._settle(sync, now + dt.timedelta(seconds=pause))
            elif isinstance(error, Cancelled):
                self._settle(sync, due.following(sync, now), tries=0)
            else:
                said = {"code": error.code, "message": error.message, "hint": error.hint}
                self._count(sync, due.following(sync, now), said)

    def _count(self, sync: Sync, following: dt.datetime | None, error: dict[str, str] | None) -> None:
        """A failure for which somebody has to do something. After too many in a row the sync is paused."""
        failures = sync.failures + 1
        self._settle(sync, following, tries=0, failures=failures)
        most = SyncSpec.model_validate(sync.spec).schedule.pause_after
        if most is not None and failures >= most and self._book.pause(sync.id, BY, error):
            _log.error("sync %s is paused after %d failures", sync.name, failures)

    def _settle(self, sync: Sync, following: dt.datetime | None, **fields: Any) -> None:
        self._book.done(sync, following, **fields)
