"""What workers do of files of events that were sent: they load one at a time, and say how far they are."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.errors import Cancelled, ConfigError, RetryableError, TidemillError, UnavailableError
from tidemill.events.load import LoadProgress, Result
from tidemill.events.uploads import UploadFiles

if TYPE_CHECKING:
    from tidemill.events.service import EventService

_log = logging.getLogger(__name__)
#: So many files are loaded at once on all machines: what is read is written by one after the other.
_AT_ONCE = 2
_TELLS_EVERY_SECONDS = 1.0
#: A file that was begun so often, and the last time its worker died, is no accident.
_DEATHS = 3
#: Seconds until what may pass by itself is tried again; twice that each time after, up to a bound.
_FIRST_SECONDS, _MOST_SECONDS = 5.0, 600.0
_KILLED = {
    "code": "worker_died",
    "message": f"It was begun {_DEATHS} times and never ended: the process that loaded it is gone.",
    "hint": "It may need more memory than there is: look at the server's log.",
}


class Uploads(Protocol):
    """The repository of files, as far as it is needed here."""

    def any_due(self) -> bool:
        """Whether there may be something to take."""

    def take(self, worker: str, limit: int, per_connection: int) -> list[Any]:
        """Take up to so many; `per_connection`: on all machines."""

    def workers(self) -> list[str]:
        """Who has some."""

    def abandon(self, worker: str) -> list[Any]:
        """What a dead worker had is for anybody."""

    def release(self, worker: str, at_work: Sequence[Any]) -> int:
        """What a worker has and is not at work on is for anybody."""

    def progress(self, upload: Any, *, bytes_read: int, rows: int) -> bool:
        """How far it is. Whether its worker still has it, and is to go on."""

    def done(
        self, upload: Any, *, result: Mapping[str, Any] | None = None, error: Mapping[str, str] | None = None
    ) -> bool:
        """It is over."""

    def again(self, upload: Any, due_at: dt.datetime, tries: int, error: dict[str, str] | None) -> None:
        """It is to be done again."""

    def give_up(self, upload_id: uuid.UUID, error: Mapping[str, str]) -> None:
        """It has failed."""


class UploadQueue:
    """A schedules.worker.Queue."""

    #: Of a worker's places all but one: to read events takes the whole of a core.
    leaves = 1_000_000

    def __init__(
        self,
        uploads: Uploads,
        files: UploadFiles,
        events: Callable[[], EventService],
        stopping: Callable[[], bool],
        tells_every_seconds: float = _TELLS_EVERY_SECONDS,
    ) -> None:
        """`events`: makes what loads them, when there is one; `stopping`: whether this process is to end."""
        self._uploads, self._files, self._events, self._stopping = uploads, files, events, stopping
        self._tells_every = tells_every_seconds

    def any_due(self) -> bool:
        """See worker.Queue."""
        return self._uploads.any_due()

    def take(self, worker: str, limit: int) -> Sequence[Any]:
        """See worker.Queue."""
        return self._uploads.take(worker, limit, _AT_ONCE)

    def workers(self) -> list[str]:
        """See worker.Queue."""
        return self._uploads.workers()

    def abandon(self, worker: str) -> int:
        """See worker.Queue. One that workers die of again and again is given up."""
        left = self._uploads.abandon(worker)
        for upload in left:
            if upload.tries >= _DEATHS:
                self._uploads.give_up(upload.id, _KILLED)
                self._delete(upload)
        return len(left)

    def release(self, worker: str, at_work: Sequence[Any]) -> None:
        """See worker.Queue."""
        self._uploads.release(worker, at_work)

    def perform(self, upload: Any) -> None:
        """Load it; or have it loaded later, if that cannot be done yet; or write down why it cannot."""
        with contextlib.suppress(TidemillError):  # the database is away: it is released when it is back
            try:
                result = self._load(upload)
            except _Stopped:
                self._uploads.again(upload, dt.datetime.now(dt.UTC), upload.tries - 1, None)
            except Cancelled:
                self._over(upload)
            except (RetryableError, UnavailableError) as error:
                seconds = min(_FIRST_SECONDS * 2 ** min(upload.tries - 1, 20), _MOST_SECONDS)
                due_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
                self._uploads.again(upload, due_at, upload.tries, _said(error))
            except TidemillError as error:
                _log.error("loading %s: %s %s", upload.file, error.message, error.hint)
                self._over(upload, error=_said(error))
            except Exception as error:  # noqa: BLE001 - a bug, which is told; others go on
                _log.exception("loading %s", upload.file)
                bug = ConfigError("bug", f"This is a bug in Tidemill: {error!r}", hint="Please report it.")
                self._over(upload, error=_said(bug))
            else:
                self._uploads.progress(upload, bytes_read=upload.bytes, rows=result.rows)
                self._over(upload, result=_kept(result))

    def _load(self, upload: Any) -> Result:
        told_at = 0.0

        def told(state: LoadProgress) -> None:
            nonlocal told_at
            if self._stopping():
                raise _Stopped
            if time.monotonic() - told_at < self._tells_every:
                return
            told_at = time.monotonic()
            if not self._uploads.progress(upload, bytes_read=state.bytes_read, rows=state.rows):
                raise Cancelled

        with self._files.opened(upload.id) as path:
            return self._events().load(
                str(path),
                upload.format,
                team_id=upload.team_id,
                mapping=upload.mapping,
                progress=told,
                name=upload.file,
            )

    def _over(self, upload: Any, **ended: Any) -> None:
        if self._uploads.done(upload, **ended):  # or another worker has it by now, and needs the file
            self._delete(upload)

    def _delete(self, upload: Any) -> None:
        with contextlib.suppress(TidemillError):  # it is removed with others that nothing names
            self._files.delete(upload.id)


class _Stopped(Exception):  # noqa: N818 - it is none
    """This process is to end; the next one goes on."""


def _said(error: TidemillError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _kept(result: Result) -> dict[str, Any]:
    """What is told of a result; the file and its rows are told already."""
    told = dataclasses.asdict(result)
    return {name: told[name] for name in ("format", "duplicates", "rejects", "already_loaded", "notes", "seconds")}
