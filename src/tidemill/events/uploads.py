"""What a user can do with files of events from elsewhere: send one, for a worker to load, and see how it goes on.

A file comes onto this machine's disk first. When all of it is there, it is put where event data lies, for any machine's
worker reads that; it is deleted when it is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from tidemill.errors import ConfigError, NotFoundError, TidemillError, UnavailableError
from tidemill.events import filing, opening
from tidemill.events.data.location import Folder
from tidemill.events.data.service import EventDataService
from tidemill.events.formats import registry
from tidemill.events.formats.generic import Mapping as Fields
from tidemill.paging import Page, Wanted
from tidemill.settings import Settings

WAITING, RUNNING, COMPLETED, FAILED, CANCELLED = "waiting", "running", "completed", "failed", "cancelled"
#: Bytes of room that are left on the disk.
_LEAST_FREE = 256 * 1024 * 1024
#: A file that no load names, and that is older than this, is nobody's.
_NOBODYS = dt.timedelta(days=1)


class Uploads(Protocol):
    """The repository of them, as far as it is needed here."""

    def any(self) -> bool:
        """Whether one is not over."""

    def add(self, upload_id: uuid.UUID, **fields: Any) -> Any:
        """A new one."""

    def by_id(self, upload_id: uuid.UUID) -> Any:
        """The one with that id."""

    def some(self, ids: Collection[uuid.UUID]) -> list[Any]:
        """Those of these ids that there are."""

    def page(self, wanted: Wanted) -> Page[Any]:
        """All of them by pages, newest first."""

    def cancel(self, upload_id: uuid.UUID) -> Any:
        """Somebody wants it to stop."""

    def forget_old(self) -> int:
        """Those that are over for long are forgotten."""

    def needed(self) -> tuple[dt.datetime, Sequence[uuid.UUID]]:
        """The files that are not loaded yet, and the time of now."""


@dataclasses.dataclass(frozen=True)
class LoadView:
    """A file that is loaded, or waits for it. `rows`: that were added so far; `duplicates`, `rejects`: known already,
    and set aside, once it is completed; `format`: as it was read; `error`: why it failed, or what it waits for."""

    id: uuid.UUID
    file: str
    status: str
    format: str
    team_id: int | None
    bytes: int
    bytes_read: int
    rows: int
    duplicates: int
    rejects: int
    already_loaded: bool
    notes: tuple[str, ...]
    by: str
    at: dt.datetime
    finished_at: dt.datetime | None
    error: dict[str, str] | None

    @property
    def is_over(self) -> bool:
        """Whether it stays like that."""
        return self.finished_at is not None


class Received:
    """A file as it comes."""

    def __init__(self, path: Path, file: IO[bytes], most: int) -> None:
        self.path, self._file, self._most = path, file, most
        self.size = 0

    def write(self, data: bytes) -> None:
        """More of it.

        Raises
        ------
        ConfigError
            It is larger than is allowed.
        UnavailableError
            There is no room.
        """
        self.size += len(data)
        assert_fits(self.size, self._most)
        if shutil.disk_usage(self.path.parent).free < _LEAST_FREE + len(data):
            raise UnavailableError(
                "disk_full", "There is no room for the file.", hint="Make room on the server's disk."
            )
        self._file.write(data)


def assert_fits(size: int, most: int) -> None:
    """Raise ConfigError if a file is larger than is allowed."""
    if size > most:
        raise ConfigError(
            "upload_too_large",
            f"The file is larger than {most:,} bytes.",
            hint="Pack it (gzip), or send it in parts; or load it at the command line: tidemill events load.",
        )


class UploadService:
    """See the module."""

    def __init__(self, settings: Settings, uploads: Uploads, files: UploadFiles) -> None:
        self._settings, self._uploads, self._files = settings, uploads, files

    def check(self, format_name: str, mapping: Mapping[str, str], size: int | None) -> None:
        """Raise ConfigError if no file could be loaded so, or it is too large; `size`: of the file, if it is known."""
        if format_name not in registry.NAMES:
            known = ", ".join(registry.NAMES)
            raise ConfigError("format_unknown", f"There is no format {format_name!r}.", hint=f"Formats: {known}.")
        Fields.of(dict(mapping))
        assert_fits(size or 0, self._settings.upload_bytes)

    @contextlib.contextmanager
    def receiving(self) -> Iterator[Received]:
        """A file is received, for the time of the block. What came is gone then, if no load was begun of it."""
        with opening.spooled(self._settings.spool_path, "upload") as (path, file):
            yield Received(path, file, self._settings.upload_bytes)

    def begin(
        self,
        received: Received,
        *,
        file: str,
        format_name: str = "auto",
        team_id: int | None = None,
        mapping: Mapping[str, str] | None = None,
        by: str,
    ) -> LoadView:
        """Have a worker load a file that has come whole. `file`: as who sent it calls it.

        Raises
        ------
        ConfigError
            It is empty.
        """
        if not received.size:
            raise ConfigError("file_empty", f"{file} is empty.", hint="Nothing was loaded.")
        upload_id = uuid.uuid4()
        self._files.keep(upload_id, received)
        try:
            wanted = {"format": format_name, "team_id": team_id, "mapping": dict(mapping or {})}
            made = self._uploads.add(upload_id, file=file, bytes=received.size, by=by, **wanted)
        except TidemillError:
            self._files.delete(upload_id)
            raise
        return view(made)

    def page(self, wanted: Wanted) -> Page[LoadView]:
        """Files by pages, the newest first. They are kept for a month."""
        return self._uploads.page(wanted).map(view)

    def get(self, upload_id: uuid.UUID) -> LoadView:
        """One of them; NotFoundError if there is none."""
        return view(self._uploads.by_id(upload_id))

    def progress(self, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, LoadView]:
        """How these stand; those that are gone are left out."""
        return {one.id: view(one) for one in self._uploads.some(ids)}

    def cancel(self, upload_id: uuid.UUID) -> LoadView:
        """Ask for one to stop. What was added by then stays. NotFoundError if there is none."""
        found = self._uploads.cancel(upload_id)
        if found.worker is None and found.finished_at is not None:
            self._files.delete(upload_id)
        return view(found)

    def prune(self) -> int:
        """Delete files that nothing names any more, and forget loads of a month ago. Gives how many files."""
        if not self._uploads.forget_old() and not self._uploads.any():
            return 0
        now, needed = self._uploads.needed()
        return self._files.remove_others(needed, now - _NOBODYS)


class UploadFiles:
    """The files themselves."""

    def __init__(self, spool: Path, data: EventDataService) -> None:
        self._spool, self._data = spool, data

    def keep(self, upload_id: uuid.UUID, received: Received) -> None:
        """Put one where each machine finds it. It is durable then."""
        with received.path.open("rb") as file:
            self._data.objects.write(filing.upload(upload_id), file)

    @contextlib.contextmanager
    def opened(self, upload_id: uuid.UUID) -> Iterator[Path]:
        """One of them, as a file of this machine.

        Raises
        ------
        ConfigError
            It is not there.
        """
        name, location = filing.upload(upload_id), self._data.location
        if isinstance(location, Folder):
            if not (location.path / name).is_file():
                raise _gone()
            yield location.path / name
            return
        with opening.spooled(self._spool, "load") as (path, copy):
            try:
                with self._data.objects.read(name) as file:
                    shutil.copyfileobj(file, copy, opening.BLOCK)
            except NotFoundError:
                raise _gone() from None
            yield path

    def delete(self, upload_id: uuid.UUID) -> None:
        """It is needed no more."""
        self._data.objects.delete([filing.upload(upload_id)])

    def remove_others(self, needed: Collection[uuid.UUID], before: dt.datetime) -> int:
        """Delete those that are not needed, and were written before then. Gives how many."""
        names = {filing.upload(one) for one in needed}
        found = [one for one in filing.uploads(self._data.objects) if one.written_at < before]
        old = [one.name for one in found if one.name not in names]
        self._data.objects.delete(old)
        return len(old)


def _gone() -> ConfigError:
    """As after a restore: a backup has no files that wait."""
    return ConfigError("upload_gone", "The file that was sent is not there any more.", hint="Send it again.")


def view(found: Any) -> LoadView:
    """A file as people see it. `found`: of the repository."""
    if found.finished_at is None:
        status = RUNNING if found.worker else WAITING
    elif found.result is not None:
        status = COMPLETED
    else:
        status = CANCELLED if found.is_cancelled and found.error is None else FAILED
    result = found.result or {}
    return LoadView(
        id=found.id,
        file=found.file,
        status=status,
        format=result.get("format", found.format),
        team_id=found.team_id,
        bytes=found.bytes,
        bytes_read=found.bytes_read,
        rows=found.rows,
        duplicates=result.get("duplicates", 0),
        rejects=result.get("rejects", 0),
        already_loaded=result.get("already_loaded", False),
        notes=tuple(result.get("notes", ())),
        by=found.by,
        at=found.at,
        finished_at=found.finished_at,
        error=found.error,
    )
