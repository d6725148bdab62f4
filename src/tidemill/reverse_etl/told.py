"""What is told of runs of syncs: a page of the logbook for each, with a line at each step.

A line has numbers and codes. What a destination answers in words may hold values of rows: of that, the code is told.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping

from tidemill import logbook
from tidemill.errors import Cancelled, TidemillError
from tidemill.reverse_etl import views
from tidemill.reverse_etl.plan.port import Piece, Planned
from tidemill.reverse_etl.watch import Interrupted
from tidemill.reverse_etl.work import Parts
from tidemill.store.records_sync import Sync, SyncRun


@contextlib.contextmanager
def running(parts: Parts, run: SyncRun, *, anew: bool) -> Iterator[None]:
    """A run is moved in the block. `anew`: it was begun by this process, and not left by another one."""
    with parts.book().page(run_id=run.id, step=run.step).open():
        if not anew:
            logbook.info("The run is gone on with where it was left.")
        try:
            yield
        except Exception as error:
            failed(error)
            raise


def failed(error: Exception, *, theirs: bool = False) -> None:
    """Something cannot go on. `theirs`: it may hold the words of a destination, which are left out."""
    if isinstance(error, Interrupted):
        logbook.info("This process stops: another one goes on with the run.")
    elif theirs and isinstance(error, TidemillError) and not isinstance(error, Cancelled):
        told = TidemillError(error.code, error.message, hint=error.hint, raw=error.raw or error.message)
        logbook.failed(told)
    else:
        logbook.failed(error)


def planned(run: SyncRun, found: Planned) -> None:
    """The plan is made."""
    counts = views.counted(dataclasses.asdict(found))
    always = ("added", "updated", "deleted", "unchanged")
    seldom = ("retried", "dropped", "invalid", "noted")
    logbook.info(
        "The plan is made.",
        by=run.began_by,
        **{name: counts[name] for name in always},
        **{name: counts[name] or None for name in seldom},
        pieces=len(found.pieces),
        rows=counts["extracted"],
        bytes_billed=found.bytes_billed,
        seconds=logbook.seconds(),
    )


@dataclasses.dataclass
class Tally:
    """Calls of a delivery, their bytes, and seconds that were waited for what the account allows."""

    calls: int = 0
    bytes: int = 0
    waited: float = 0.0
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def called(self, _rows: int, size: int) -> None:
        """A call is made."""
        with self._lock:
            self.calls, self.bytes = self.calls + 1, self.bytes + size

    def waiting(self, sleep: Callable[[float], None]) -> Callable[[float], None]:
        """The same, counted."""

        def counted(seconds: float) -> None:
            with self._lock:
                self.waited += seconds
            sleep(seconds)

        return counted

    def delivered(self, piece: Piece, outcomes: collections.Counter[str]) -> None:
        """A piece is gone through; from here on it is counted anew. Rows that were not taken are more than a detail."""
        with self._lock:
            calls, size, waited = self.calls, self.bytes, self.waited
            self.calls, self.bytes, self.waited = 0, 0, 0.0
        tell = logbook.warning if outcomes["rejected"] or outcomes["retry"] else logbook.info
        tell(
            "A piece is delivered.",
            piece=piece.number,
            written=outcomes["written"],
            rejected=outcomes["rejected"] or None,
            to_retry=outcomes["retry"] or None,
            calls=calls,
            bytes=size,
            waited=round(waited, 3) or None,
            seconds=logbook.seconds(),
        )


def held(seconds: float) -> None:
    """The destination asks that nobody calls for so long."""
    logbook.warning("The destination asks to wait.", wait=round(seconds, 3))


def ended(run: SyncRun) -> None:
    """A run is over. Of one that had nothing to do, nothing is told."""
    if run.status == "skipped":
        return
    logbook.info(
        f"The run is {run.status}.",
        written=run.written,
        rejected=run.rejected or None,
        to_retry=run.to_retry or None,
        seconds=round((run.finished_at - run.began_at).total_seconds(), 3) if run.finished_at else None,
    )


def again(parts: Parts, sync: Sync, error: TidemillError, at: dt.datetime) -> None:
    """A run that was due is tried again later."""
    about = logbook.about(error)
    said = f"It is tried again later. {logbook.said(error)}"
    _schedule(parts, sync, "warning", said, **about, tries=sync.tries, again_at=at.isoformat(timespec="seconds"))


def left(parts: Parts, sync: Sync) -> None:
    """The worker that had a sync is gone."""
    _schedule(parts, sync, "warning", "The worker that had it is gone: another one takes it.", tries=sync.tries)


def paused(parts: Parts, sync: Sync, error: Mapping[str, str], failures: int) -> None:
    """A sync is paused, for its runs have failed too often."""
    _schedule(parts, sync, "error", "The sync is paused, since its runs fail.", code=error["code"], failures=failures)


def _schedule(parts: Parts, sync: Sync, level: str, message: str, **fields: logbook.Value) -> None:
    """Of what becomes of a sync between runs, its last run tells."""
    with contextlib.suppress(TidemillError):  # what is told must not stand in the way of what is done
        if run := parts.books.runs.last_telling(sync.id):
            parts.book().page(run_id=run.id, step="schedule").tell(level, message, **fields)
