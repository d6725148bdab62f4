"""What workers do of syncs: the run of one that is due, and what becomes of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import Cancelled, RetryableError, TidemillError, UnavailableError
from tidemill.reverse_etl import alarms, due, judging, told
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.reverse_etl.watch import Interrupted, Watch
from tidemill.schedules import telling
from tidemill.store.records_sync import Sync, SyncRun
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_states import BY_SCHEDULE
from tidemill.store.sync_things import Verdict

if TYPE_CHECKING:
    from tidemill.reverse_etl.syncs import SyncService

_log = logging.getLogger(__name__)
BY = BY_SCHEDULE
#: Seconds until what may pass by itself is tried again; twice that each time after, up to a bound.
_FIRST_SECONDS, _MOST_SECONDS = 15.0, 3600.0
#: A sync that was begun so often, and the last time its worker died, is no accident.
_DEATHS = 3
#: What says that another process is at it: it is looked again soon.
_ELSEWHERE = {"sync_running"}


class SyncQueue:
    """A schedules.worker.Queue."""

    leaves = 0

    def __init__(self, books: SyncBooks, syncs: Callable[[], SyncService], stopping: Callable[[], bool]) -> None:
        """`syncs`: makes what runs them, when one is due; `stopping`: whether this process is to end."""
        self._books, self._book, self._syncs, self._stopping = books, books.syncs, syncs, stopping

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
        """One that workers die of again and again waits until it is due by its schedule: that is a failure."""
        left = self._book.abandon(worker)
        for sync in left:
            told.left(self._syncs().parts, sync)
            if sync.tries >= _DEATHS:
                self._fails(sync, _killed(sync), self._book.now())
        return len(left)

    def release(self, worker: str, at_work: Sequence[Sync]) -> None:
        """See worker.Queue."""
        self._book.release(worker, [sync.id for sync in at_work])

    def perform(self, item: Sync) -> None:
        """Run a sync; say when it is due again."""
        try:
            watch = Watch(lambda _what, _done, _all: None, self._stopping)
            syncs = self._syncs()
            over = syncs.runner.execute(item, syncs.begin_due, watch)
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
            verdict = judging.ended(self._books, sync, run, following)
            if run.status == "failed":
                self._count(sync, following, run.error or {}, verdict)
            else:
                self._settle(sync, following, verdict, tries=0, failures=0)

    def _failed(self, sync: Sync, error: TidemillError) -> None:
        """It could not be run to its end."""
        _log.error("sync %s: %s %s", sync.name, error.message, error.hint)
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        with contextlib.suppress(TidemillError):
            now = self._book.now()
            if isinstance(error, RetryableError | UnavailableError) or error.code in _ELSEWHERE:
                seconds = min(_FIRST_SECONDS * 2 ** min(sync.tries - 1, 20), _MOST_SECONDS)
                again_at = now + dt.timedelta(seconds=seconds * random.uniform(0.5, 1))  # noqa: S311
                waits = () if error.code in _ELSEWHERE else (alarms.waits(sync, said, again_at),)
                self._settle(sync, again_at, Verdict(alarms=waits))
                told.again(self._syncs().parts, sync, error, again_at)
            elif isinstance(error, Cancelled):
                self._books.triggers.fail(sync.id, said)
                self._settle(sync, due.following(sync, now), tries=0)
            else:
                self._fails(sync, said, now)

    def _fails(self, sync: Sync, error: dict[str, str], now: dt.datetime) -> None:
        """It fails without a run that says so; who has triggered it is told by that."""
        self._books.triggers.fail(sync.id, error)
        following = due.following(sync, now)
        alarm = alarms.failed(sync, error, following, sync.failures + 1, _pause_after(sync))
        self._count(sync, following, error, Verdict(alarms=(alarm,)))

    def _count(self, sync: Sync, following: dt.datetime | None, error: dict[str, str], verdict: Verdict) -> None:
        """A failure for which somebody has to do something. After too many in a row the sync is paused."""
        failures, most = sync.failures + 1, _pause_after(sync)
        self._settle(sync, following, verdict, tries=0, failures=failures)
        if most is None or failures < most:
            return
        if self._book.pause(sync.id, BY, error, alarms.paused(sync, error, failures)):
            told.paused(self._syncs().parts, sync, error, failures)
            _log.error("sync %s is paused after %d failures", sync.name, failures)

    def _settle(self, sync: Sync, following: dt.datetime | None, verdict: Verdict | None = None, **fields: Any) -> None:
        self._book.done(sync, following, verdict, **fields)


def _pause_after(sync: Sync) -> int | None:
    return SyncSpec.model_validate(sync.spec).schedule.pause_after


def _killed(sync: Sync) -> dict[str, str]:
    """What is said of one whose worker is gone again."""
    return {
        "code": "worker_died",
        "message": f"It was begun {telling.times(sync.tries)} and never ended: the process that ran it is gone.",
        "hint": "It may need more memory than there is: look at the server's log.",
    }
