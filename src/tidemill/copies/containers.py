"""What holds a backup: a folder, or one file (.tar). Whatever is killed, a half one is never taken for a whole.

In a folder the manifest is written last, and changed at once: until then the backup that was there before is the one
that there is. A tar has another name until it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from tidemill import atomic
from tidemill.copies import manifest
from tidemill.copies.manifest import Entry, Manifest
from tidemill.errors import ConfigError, ConflictError
from tidemill.settings import private_file, private_folder

TAR = ".tar"
#: Held by who makes one in a folder. Nothing else has this name: by it a folder is known in which one was begun.
_LOCK = ".tidemill-backup"
Opener = Callable[[], contextlib.AbstractContextManager[IO[bytes]]]
#: Told of each part that was read or written.
Moved = Callable[[int], None]


class Making(Protocol):
    """A backup that is being made."""

    @property
    def before(self) -> Mapping[str, Entry]:
        """The files that are there already, of a backup before."""

    def add(self, name: str, size: int, opened: Opener, moved: Moved) -> Entry:
        """Put a file in; one that is there already, of this size, stays."""

    def finish(self, made: Manifest) -> None:
        """It is whole from now on."""


class Made(Protocol):
    """A backup, to be read."""

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Read a file of it. FileNotFoundError if it is not there."""

    def note(self, damaged: Sequence[str]) -> bool:
        """Have the next backup into it copy these files anew; of none, forget what was noted. Whether that can be."""


def make(destination: Path, store: str) -> contextlib.AbstractContextManager[Making]:
    """Begin one. `store`: of which event store.

    Raises
    ------
    ConfigError
        What is there already is no backup of this installation.
    ConflictError
        Another process makes one there.
    """
    return _new_tar(destination) if destination.suffix == TAR else _folder(destination, store)


def opened(source: Path) -> contextlib.AbstractContextManager[Made]:
    """Open one that was made.

    Raises
    ------
    ConfigError
        It is none, or is not whole.
    """
    if source.is_dir():
        return contextlib.nullcontext(_Folder(source))
    return _tar(source)


class _Folder:
    """See Made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            text = (path / manifest.NAME).read_bytes()
        except FileNotFoundError:
            raise _none(path, begun=_begun(path)) from None
        self.manifest = manifest.read(text, str(path))

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """See Made."""
        return (self._path / name).open("rb")

    def note(self, damaged: Sequence[str]) -> bool:
        """See Made."""
        try:
            if damaged:
                with private_file(self._path / manifest.DAMAGED) as file:
                    json.dump(damaged, file)
            else:
                (self._path / manifest.DAMAGED).unlink(missing_ok=True)
        except (OSError, ConfigError):  # it may be read, and not written
            return False
        return True


def _none(path: Path, *, begun: bool) -> ConfigError:
    if not begun:
        return ConfigError(
            "backup_none",
            f"{path} is no backup of Tidemill, or not a whole one.",
            hint="Name what tidemill backup made.",
        )
    return ConfigError(
        "backup_incomplete",
        f"The backup in {path} was not finished: nothing can be restored from it.",
        hint=f"Finish it, while the installation is there: tidemill backup {path}. Or take an older one.",
    )


@contextlib.contextmanager
def _folder(path: Path, store: str) -> Iterator[Making]:
    if path.exists() and not path.is_dir():
        raise ConfigError(
            "file_unusable", f"{path} is no folder.", hint=f"Name a folder, or a file that ends in {TAR}."
        )
    if path.exists() and any(path.iterdir()) and not _begun(path):
        raise ConfigError(
            "backup_folder",
            f"The folder {path} holds something else than a backup.",
            hint="Name a new folder, or that of a backup before.",
        )
    private_folder(path)
    with open(path / _LOCK, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                "backup_running", f"Another backup into {path} is being made.", hint="Wait for it."
            ) from None
        yield _MakingFolder(path, store)


def _begun(path: Path) -> bool:
    """Whether a backup was begun in a folder, or made: nobody else's files look like what is there then."""
    if (path / _LOCK).is_file():
        return True
    try:
        return manifest.is_one((path / manifest.NAME).read_bytes())
    except OSError:
        return False


def _noted(path: Path) -> set[str]:
    """Files of the backup in a folder that were found to be damaged: they have the right size, and are no use."""
    try:
        return set(json.loads((path / manifest.DAMAGED).read_bytes()))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError):  # what was to tell it cannot be read, either: none is trusted
        return set(manifest.read((path / manifest.NAME).read_bytes(), str(path)).files)


class _MakingFolder:
    """See Making."""

    def __init__(self, path: Path, store: str) -> None:
        self._path = path
        self.before: Mapping[str, Entry] = {}
        with contextlib.suppress(FileNotFoundError):
            last = manifest.read((path / manifest.NAME).read_bytes(), str(path))
            if last.store != store:
                raise ConfigError(
                    "backup_folder", f"{path} holds a backup of another installation.", hint="Name another folder."
                )
            damaged = _noted(path)
            self.before = {name: entry for name, entry in last.files.items() if name not in damaged}

    def add(self, name: str, size: int, opened: Opener, moved: Moved) -> Entry:
        """See Making."""
        path, known = self._path / name, self.before.get(name)
        if known is not None and known.size == size and path.exists() and path.stat().st_size == size:
            moved(size)
            return known
        private_folder(path.parent)
        with opened() as source, atomic.writing(path, named=False) as target:  # all names are synced at the end
            return _copied(source, target, moved)

    def finish(self, made: Manifest) -> None:
        """See Making."""
        for folder in {(self._path / name).parent for name in made.files}:
            atomic.sync(folder)
        atomic.write(self._path / manifest.NAME, made.text())
        self._tidy(made)

    def _tidy(self, made: Manifest) -> None:
        """Remove what only the backup before had, and what was left of one that was killed. Other people's files, and
        what they put here since, stay."""
        for folder, _, names in os.walk(self._path):
            for name in names:
                relative = (Path(folder) / name).relative_to(self._path).as_posix()
                if manifest.is_own(relative) and relative not in made.files:
                    (self._path / relative).unlink(missing_ok=True)


@contextlib.contextmanager
def _new_tar(path: Path) -> Iterator[Making]:
    if path.exists():
        raise ConflictError("backup_exists", f"{path} is there already.", hint="Name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.iterdir():  # of one that was killed, or is being made
        if atomic.whole_name(left.name) == path.name and time.time() - left.stat().st_mtime > 86_400:
            left.unlink(missing_ok=True)
    try:
        with atomic.writing(path, new=True) as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                making = _MakingTar(tar)
                yield making
            if not making.is_whole:
                raise RuntimeError("the backup was not finished")
    except FileExistsError:
        raise ConflictError("backup_exists", f"{path} is there already.", hint="Name another file.") from None


class _MakingTar:
    """See Making."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self.is_whole = tar, False
        self.before: Mapping[str, Entry] = {}

    def add(self, name: str, size: int, opened: Opener, moved: Moved) -> Entry:
        """See Making."""
        with opened() as source:
            counted = _Counted(source, moved)
            self._tar.addfile(_member(name, size), counted)
            return counted.entry()

    def finish(self, made: Manifest) -> None:
        """See Making."""
        text = made.text()
        self._tar.addfile(_member(manifest.NAME, len(text)), io.BytesIO(text))
        self.is_whole = True


class _Counted(io.RawIOBase):
    """A file that counts and sums up what is read of it."""

    def __init__(self, file: IO[bytes], moved: Moved) -> None:
        self._file, self._moved, self._digest, self._size = file, moved, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        block = self._file.read(size)
        self._digest.update(block)
        self._size += len(block)
        self._moved(len(block))
        return block

    def entry(self) -> Entry:
        """Of what was read."""
        return Entry(self._size, self._digest.hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode, found.mtime = size, 0o600, int(time.time())
    return found


@contextlib.contextmanager
def _tar(path: Path) -> Iterator[Made]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield _Tar(path, tar)
    except tarfile.TarError as error:
        raise ConfigError(
            "backup_damaged",
            f"{path} is no tar, or is cut off: {error}.",
            hint="Take another backup: this one cannot be restored.",
        ) from None


class _Tar:
    """See Made."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._tar = tar
        try:
            with self.open(manifest.NAME) as file:
                self.manifest = manifest.read(file.read(), str(path))
        except FileNotFoundError:
            raise _none(path, begun=False) from None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """See Made."""
        try:
            found = self._tar.extractfile(name)
        except KeyError:
            found = None
        if found is None:
            raise FileNotFoundError(name)
        with found:
            yield found

    def note(self, damaged: Sequence[str]) -> bool:
        """See Made. No other backup goes into it."""
        return not damaged


def _copied(source: IO[bytes], target: IO[bytes], moved: Moved) -> Entry:
    counted = _Counted(source, moved)
    for block in iter(lambda: counted.read(1 << 20), b""):
        target.write(block)
    return counted.entry()
