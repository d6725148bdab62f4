"""Puts the event store's files on disk before a commit names them: DuckDB writes Parquet without a word to the disk.

PostgreSQL syncs the commit in the catalog. If the file that it names were only in the system's memory then, a power cut
would leave a catalog of files that are empty.

And keeps them while it is not known whether PostgreSQL committed: if the answer is lost, DuckLake takes the commit for
failed and removes its files, which the catalog may name all the same. So each has a second name until the answer is
there, and is put back under its first. One that the catalog does not name is in nobody's way.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from tidemill import atomic

if TYPE_CHECKING:
    import duckdb


#: A folder of second names, beside the store's own: those of paths within its parent.
HELD = "held"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
#: A second name that a dead process left is not needed any longer than that: by then its file is back.
_HELD_SECONDS = 3600.0


class Files:
    """The files in the folder of the event store, as far as it is looked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._listed()
        self._fresh: list[str] = []

    def sync(self) -> None:
        """Put on disk those that have come since the last time, with their names."""
        now = self._listed()
        self._fresh = []
        for folder, names in now.items():
            fresh = names - self._known.get(folder, set())
            self._fresh += [f"{folder}/{name}" for name in fresh]
            for name in fresh:
                with contextlib.suppress(FileNotFoundError):  # somebody else's, and gone already
                    atomic.sync(Path(folder, name))
            if fresh:
                atomic.sync(Path(folder))
            if folder not in self._known:
                atomic.sync(Path(folder).parent)
        self._known = now

    def hold(self, held: list[Path]) -> None:
        """Give those that came a second name, and put these into the list: nobody else has them, for others may hold
        the same files."""
        folder = self._folder / HELD
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            folder.chmod(self._folder.stat().st_mode & 0o7777)  # whoever shares the store does it here, too
        for path in self._fresh:
            name = quote(str(Path(path).relative_to(self._folder)), safe="")
            held.append(folder / f"{name}.{uuid.uuid4().hex}")
            with contextlib.suppress(FileNotFoundError):  # somebody else's, and gone already
                _second(path, held[-1])

    def release(self, held: Iterable[Path], *, put_back: bool = False) -> None:
        """Second names are not needed any more. `put_back`: files that have lost their first one get it back.

        One that cannot be put back now is when the store is opened the next time.
        """
        for name in held:
            with contextlib.suppress(OSError):
                if put_back:
                    _put_back(self._folder, name)
                name.unlink(missing_ok=True)

    def _listed(self) -> dict[str, set[str]]:
        """Names of files by folders, which are few."""
        found = {folder: set(names) for folder, _, names in os.walk(self._folder)}
        found.pop(str(self._folder / HELD), None)
        return found


def recover(folder: Path) -> None:
    """Put back what a process that died could not."""
    for held in (folder / HELD).glob("*"):
        with contextlib.suppress(OSError):
            if atomic.whole_name(held.name) is None:
                _put_back(folder, held)
            if time.time() - held.stat().st_ctime > _HELD_SECONDS:
                held.unlink()


def _put_back(folder: Path, held: Path) -> None:
    path = folder / unquote(held.name.rpartition(".")[0])
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        _second(held, path)
        atomic.sync(path.parent)


def _second(path: str | Path, other: Path) -> None:
    """Another name for a file, or a copy where the disk knows no such thing."""
    try:
        os.link(path, other)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not Path(other).exists():
            mode = Path(path).stat().st_mode & 0o777
            with Path(path).open("rb") as file, atomic.writing(other, mode=mode, named=False) as copy:
                shutil.copyfileobj(file, copy)


@contextlib.contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection, files: Files) -> Iterator[None]:
    """A transaction that is committed at the end of the block, after the files that it wrote are on disk."""
    cursor.execute("BEGIN")
    held: list[Path] = []
    try:
        yield
        files.sync()
        files.hold(held)
        cursor.execute("COMMIT")
    except BaseException:
        for end in (functools.partial(cursor.execute, "ROLLBACK"), cursor.close):
            with contextlib.suppress(Exception):
                end()  # by now DuckLake has removed what it removes
        files.release(held, put_back=True)
        raise
    files.release(held)
