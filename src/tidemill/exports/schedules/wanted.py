"""What workers do because somebody wants it: a run of an export, another try of one, rows that were set aside."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import uuid
from collections.abc import Sequence

from tidemill.errors import Cancelled, RetryableError, TidemillError, UnavailableError
from tidemill.exports.dispatch import ELSEWHERE, Dispatch
from tidemill.exports.runs import RunService
from tidemill.exports.schedules import retries
from tidemill.exports.set_aside import SetAside
from tidemill.exports.triggers import AGAIN, REJECTS, RETRY
from tidemill.exports.watch import untold
from tidemill.schedules.worker import LOST
from tidemill.settings import Settings
from tidemill.store.books import Books
from tidemill.store.export_triggers import ExportTrigger

_log = logging.getLogger(__name__)


class Wanted:
    """A worker.Queue."""

    leaves = 0

    def __init__(
        self, settings: Settings, books: Books, dispatch: Dispatch, runs: RunService, set_aside: SetAside
    ) -> None:
        self._settings, self._dispatch, self._runs, self._set_aside = settings, dispatch, runs, set_aside
        self._exports, self._triggers = books.exports, books.triggers

    def any_due(self) -> bool:
        """See worker.Queue."""
        return self._triggers.any_due()

    def take(self, worker: str, limit: int) -> Sequence[ExportTrigger]:
        """See worker.Queue."""
        return self._triggers.take(worker, limit, self._settings.connection_runs)

    def workers(self) -> list[str]:
        """See worker.Queue."""
        return self._triggers.workers()

    def abandon(self, worker: str) -> int:
        """See worker.Queue."""
        return len(self._triggers.abandon(worker))

    def release(self, worker: str, at_work: Sequence[ExportTrigger]) -> None:
        """See worker.Queue."""
        self._triggers.release(worker, at_work)

    def perform(self, trigger: ExportTrigger) -> None:
        """See that it is done; or tried again, if it cannot be done yet; or written down why it cannot."""
        with contextlib.suppress(TidemillError):  # the database is away: it is released when it is back
            try:
                runs = self._do(trigger)
            except TidemillError as error:
                self._ended_badly(trigger, error)
            except Exception as error:  # noqa: BLE001 - a bug, which is told; others go on
                _log.exception("trigger %s", trigger.id)
                bug = TidemillError("bug", f"This is a bug in Tidemill: {error!r}", hint="Please report it.")
                self._triggers.done(trigger, (), _said(bug))
            else:
                self._triggers.done(trigger, runs)

    def _do(self, trigger: ExportTrigger) -> list[uuid.UUID]:
        """Gives the runs that were moved."""
        export, by = self._exports.by_id(trigger.export_id), trigger.by
        run_id = str(trigger.run_id) if trigger.run_id else None
        if trigger.what == REJECTS:
            moved = self._set_aside.retry(export.name, run_id=run_id, code=trigger.code, by=by)
            return [view.id for view in moved]
        if run_id is not None and trigger.what == RETRY:
            return [self._runs.retry(run_id, by=by, arrived=trigger.arrived).id]
        if run_id is not None and trigger.what == AGAIN:
            return [self._runs.again(run_id, by=by).id]
        return [run.id for run in self._dispatch.run(export, by, untold)]

    def _ended_badly(self, trigger: ExportTrigger, error: TidemillError) -> None:
        """A run that failed says why; whether it is tried again is up to the schedule, or to who wanted it."""
        now, tries = dt.datetime.now(dt.UTC), trigger.tries
        if error.code == LOST:
            return  # another worker takes over what this one had
        if isinstance(error, Cancelled) and self._dispatch.interrupted:
            self._triggers.again(trigger, now, tries - 1, None)
        elif error.code in ELSEWHERE:
            self._triggers.again(trigger, now + retries.ELSEWHERE_AFTER, tries - 1, _said(error))
        elif isinstance(error, RetryableError | UnavailableError):
            self._triggers.again(trigger, now + retries.pause(error, tries), tries, _said(error))
        else:
            _log.error("what %s wanted of an export: %s %s", trigger.by, error.message, error.hint)
            self._triggers.done(trigger, (), _said(error))


def _said(error: TidemillError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}
