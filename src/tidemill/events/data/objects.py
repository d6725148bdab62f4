"""The files of the event store as named objects, wherever they lie: to list, read, write and delete.

Names are relative to the place of the data, with slashes. DuckDB reads and writes them by itself; this is for who looks
after them, copies them, or tells how they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

from tidemill import atomic
from tidemill.errors import NotFoundError
from tidemill.events.durable import HELD
from tidemill.settings import private_folder

#: Of an object that is written only to see whether that can be done; sixteen hexadecimal digits come after it.
PROBE = "tidemill-test-"

_BLOCK = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Object:
    """One of them. `written_at` is by the clock of the place."""

    name: str
    size: int
    written_at: dt.datetime


class Objects(Protocol):
    """All of them. Calls that fail raise errors of tidemill.errors."""

    @property
    def place(self) -> str:
        """Where they lie, for people: with a slash at the end."""

    def list(self, under: str = "") -> Iterator[Object]:
        """Those whose names begin so, in the order of their names."""

    def read(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """What is in one, to be read once. Raises NotFoundError."""

    def write(self, name: str, data: IO[bytes]) -> None:
        """Make one of what `data` holds from where it stands, or replace it. It is durable when this returns."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete these; it does not matter if one is not there."""


class FolderObjects:
    """The files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        """See Objects."""
        return f"{self._folder}{os.sep}"

    def list(self, under: str = "") -> Iterator[Object]:
        """See Objects."""
        found = sorted(
            (path.relative_to(self._folder).as_posix(), path)
            for folder, _, names in os.walk(self._folder)
            for path in (Path(folder, name) for name in names)
        )
        for name, path in found:
            if name.startswith(under) and not name.startswith(f"{HELD}/"):
                with contextlib.suppress(FileNotFoundError):  # it was joined away meanwhile
                    stat = path.stat()
                    yield Object(name, stat.st_size, dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC))

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        """See Objects."""
        try:
            file = (self._folder / name).open("rb")
        except FileNotFoundError:
            raise missing(self.place, name) from None
        with file:
            yield file

    def write(self, name: str, data: IO[bytes]) -> None:
        """See Objects."""
        path = self._folder / name
        if not self._folder.is_dir():  # no event was ever kept here
            private_folder(self._folder)
        mode = self._folder.stat().st_mode & 0o7777  # whoever shares the store does it here, too
        for folder in reversed([one for one in path.parents if self._folder in one.parents]):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)
        with atomic.writing(path, mode=mode & 0o666, named=False) as file:
            shutil.copyfileobj(data, file, _BLOCK)
        for folder in (path.parent, *path.parent.parents):  # they may be new, too
            atomic.sync(folder)
            if folder == self._folder:
                break

    def delete(self, names: Iterable[str]) -> None:
        """See Objects."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


def probe() -> str:
    """A name for such an object, which nobody else has."""
    return f"{PROBE}{os.urandom(8).hex()}"


def missing(place: str, name: str) -> NotFoundError:
    """Of an object that is not there."""
    return NotFoundError(
        "event_data_missing", f"{place}{name} is not there.", hint="tidemill doctor looks at the rest."
    )
