"""What workers do of backfills: the run of one interval."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Sequence

from tidemill.errors import Cancelled, RetryableError, TidemillError, UnavailableError
from tidemill.exports.backfill import Backfiller
from tidemill.exports.dispatch import ELSEWHERE, Dispatch
from tidemill.exports.schedules import retries
from tidemill.schedules.worker import LOST
from tidemill.settings import Settings
from tidemill.store.pieces import Pieces as Repository
from tidemill.store.records import Piece

_log = logging.getLogger(__name__)


class Pieces:
    """A worker.Queue. It leaves a place for what is due by a schedule: a backfill may take days."""

    leaves = 1

    def __init__(self, settings: Settings, dispatch: Dispatch, backfiller: Backfiller, pieces: Repository) -> None:
        self._settings, self._dispatch, self._backfiller, self._pieces = settings, dispatch, backfiller, pieces

    def any_due(self) -> bool:
        """See worker.Queue."""
        return self._pieces.any_due()

    def take(self, worker: str, limit: int) -> Sequence[Piece]:
        """See worker.Queue."""
        return self._pieces.take(worker, limit, self._settings.connection_runs)

    def workers(self) -> list[str]:
        """See worker.Queue."""
        return self._pieces.workers()

    def abandon(self, worker: str) -> int:
        """See worker.Queue."""
        return len(self._pieces.abandon(worker))

    def release(self, worker: str, at_work: Sequence[Piece]) -> None:
        """See worker.Queue."""
        self._pieces.release(worker, at_work)

    def perform(self, piece: Piece) -> None:
        """See that the run of the interval is completed, or has failed for good, which the run says."""
        with contextlib.suppress(TidemillError):  # the database is away: it is released when it is back
            try:
                self._backfiller.piece(piece)
            except TidemillError as error:
                if self._later(piece, error):
                    return
            except Exception:  # noqa: BLE001 - a bug, which is told; others go on
                _log.exception("interval %d of backfill %s", piece.number, piece.backfill_id)
            if self._pieces.done(piece):
                self._backfiller.end(piece.backfill_id)

    def _later(self, piece: Piece, error: TidemillError) -> bool:
        """Whether it is to be done again, by this worker or another one."""
        now = dt.datetime.now(dt.UTC)
        if isinstance(error, Cancelled) and self._dispatch.interrupted:
            self._pieces.again(piece, now, piece.tries - 1)
        elif error.code in ELSEWHERE:
            self._pieces.again(piece, now + retries.ELSEWHERE_AFTER, piece.tries - 1)
        elif isinstance(error, RetryableError | UnavailableError):
            if error.code != LOST:  # of a worker that is known as dead, another one takes over what it had
                self._pieces.again(piece, now + retries.pause(error, piece.tries), piece.tries)
        else:
            return False
        return True
