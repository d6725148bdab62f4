"""What workers do of operations: each to its end, whoever is killed meanwhile. What is done twice has the effect of
once: what an operation calls writes down what is left to do before it does it."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import Cancelled, ConflictError, NotFoundError, RetryableError, TidemillError, UnavailableError
from tidemill.operations import service
from tidemill.operations.progress import Place, Progress, said
from tidemill.reverse_etl.watch import Interrupted, Watch
from tidemill.schedules.worker import LOST
from tidemill.store.operations import Operation, Operations

if TYPE_CHECKING:
    from tidemill.exports.service import ExportService
    from tidemill.imports.service import ImportService
    from tidemill.reverse_etl.service import ReverseEtl

_log = logging.getLogger(__name__)
#: Seconds until what may pass by itself is tried again; twice that each time after, up to a bound.
_FIRST_SECONDS, _MOST_SECONDS = 5.0, 3600.0
#: For so long: then somebody is to look at it.
_GIVES_UP = dt.timedelta(days=3)
#: Another process is at it, which is to stop or to end: it is looked again soon, however often.
_ELSEWHERE, _ELSEWHERE_SECONDS = "sync_running", 3.0
#: There is nothing left of a person of whom there was something when the deletion was asked for.
_GONE = "person_unknown"
#: Nor is any row left that is to be tried again.
_NO_ROW = "row_unknown"


class OperationQueue:
    """A schedules.worker.Queue."""

    #: Places of a worker that are for runs.
    leaves = 2

    def __init__(
        self,
        book: Operations,
        imports: Callable[[], ImportService],
        exports: Callable[[], ExportService],
        reverse_etl: Callable[[], ReverseEtl],
        stopping: Callable[[], bool],
    ) -> None:
        """`stopping`: whether this process is to end."""
        self._book, self._imports, self._exports, self._reverse_etl = book, imports, exports, reverse_etl
        self._stopping = stopping

    def any_due(self) -> bool:
        """See worker.Queue."""
        return self._book.any_due()

    def take(self, worker: str, limit: int) -> Sequence[Operation]:
        """See worker.Queue."""
        return self._book.take(worker, limit, 1)

    def workers(self) -> list[str]:
        """See worker.Queue."""
        return self._book.workers()

    def abandon(self, worker: str) -> int:
        """See worker.Queue."""
        return len(self._book.abandon(worker))

    def release(self, worker: str, at_work: Sequence[Operation]) -> None:
        """See worker.Queue."""
        self._book.release(worker, at_work)

    def perform(self, item: Operation) -> None:
        """See that it is done; or tried again, if it cannot be done yet; or written down why it cannot."""

        def write(told: dict[str, Any]) -> None:
            with contextlib.suppress(TidemillError):  # what is done does not fail because that cannot be written
                self._book.note(item, told)

        progress = Progress(item.progress, write)
        with contextlib.suppress(TidemillError):  # the database is away: it is released when it is back
            try:
                error = self._do(item, progress)
            except TidemillError as failed:
                self._ended_badly(item, progress, failed)
            except Exception as failed:  # noqa: BLE001 - a bug, which is told; others go on
                _log.exception("operation %s", item.id)
                bug = f"This is a bug in Tidemill: {type(failed).__name__}."
                self._over(item, progress, {"code": "bug", "message": bug, "hint": "Please report it."})
            else:
                self._over(item, progress, error)

    def _do(self, item: Operation, progress: Progress) -> dict[str, str] | None:
        """Gives why it failed, if what it did says so itself."""
        match item.kind:
            case service.UNDO:
                self._undo(item, progress)
            case service.PERSON:
                self._delete(item, progress)
            case _:
                return self._run(item, progress)
        return None

    def _undo(self, item: Operation, progress: Progress) -> None:
        undoing, sync_id = self._imports().undoing, uuid.UUID(item.wanted["sync"])
        undoing.stop(sync_id, item.by)
        left = undoing.left(sync_id)
        total = max(left, progress.told.get("total") or 0)  # that of the first try

        def told(one: Place) -> None:
            done = total - undoing.left(sync_id) if one.place == "events" else None
            progress.place(one, done)
            if done is not None:
                progress.report("taking events back", done, total)

        progress.report("taking events back", total - left, total)
        undoing.undo(sync_id, by=item.by, told=told)

    def _delete(self, item: Operation, progress: Progress) -> None:
        exports, wanted = self._exports(), item.wanted
        team_id, events = int(wanted["team_id"]), bool(wanted["events"])
        total, places = exports.places(team_id, events=events), set[str]()

        def told(one: Place) -> None:
            progress.place(one)
            places.add(one.place)
            progress.report("deleting the person", min(len(places), total), total)

        progress.report("deleting the person", 0, total)
        try:
            exports.erase_person(team_id, wanted["distinct_id"], events=events, by=item.by, told=told)
        except NotFoundError as error:
            if error.code != _GONE:
                raise

    def _run(self, item: Operation, progress: Progress) -> dict[str, str] | None:
        reverse_etl, wanted, sync_id = self._reverse_etl(), item.wanted, uuid.UUID(item.wanted["sync"])

        def rows(name: str) -> list[str]:
            chosen = reverse_etl.rejects.to_retry(name, **{one: wanted[one] for one in ("keys", "text", "code")})
            if not chosen:
                raise NotFoundError(_NO_ROW, "There is no row that could be tried again.")
            return chosen

        watch, is_rows = Watch(progress.report, self._stopping), item.kind == service.ROWS
        asked: dict[str, Any] = {"by": item.by, "deletes": not is_rows, "only": rows if is_rows else None}
        try:
            over = reverse_etl.syncs.run_once(sync_id, str(item.id), watch, **asked)
        except NotFoundError as error:
            if error.code == _NO_ROW:  # others have delivered them meanwhile
                return None
            raise
        progress.run(over.number)
        return over.error if over.status in {"failed", "cancelled"} else None

    def _over(self, item: Operation, progress: Progress, error: dict[str, str] | None) -> None:
        forgets = item.kind == service.PERSON and error is None
        self._book.done(item, progress.told, error, forgets=forgets)

    def _ended_badly(self, item: Operation, progress: Progress, error: TidemillError) -> None:
        now, tries, why = dt.datetime.now(dt.UTC), item.tries, said(error)
        if error.code == LOST:
            return  # another worker takes over what this one had
        if isinstance(error, Interrupted) or (isinstance(error, Cancelled) and self._stopping()):
            self._book.again(item, now, tries - 1, progress.told, None)
        elif error.code == _ELSEWHERE:
            again_at = now + dt.timedelta(seconds=_ELSEWHERE_SECONDS)
            self._book.again(item, again_at, tries - 1, progress.told, why)
        elif _passes(item, error) and now - item.at < _GIVES_UP:
            self._book.again(item, now + _pause(error, tries), tries, progress.told, why)
        else:
            _log.error("operation %s of %s: %s %s", item.kind, item.by, error.message, error.hint)
            self._over(item, progress, why)


def _passes(item: Operation, error: TidemillError) -> bool:
    """Whether it may be otherwise in a while: something is away; or a run, or a backfill, holds a table."""
    waits = isinstance(error, ConflictError) and item.kind in {service.UNDO, service.PERSON}
    return waits or isinstance(error, RetryableError | UnavailableError)


def _pause(error: TidemillError, tries: int) -> dt.timedelta:
    seconds = min(_FIRST_SECONDS * 2 ** min(tries - 1, 20), _MOST_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
    return dt.timedelta(seconds=max(seconds, min(getattr(error, "after", None) or 0.0, _MOST_SECONDS)))
