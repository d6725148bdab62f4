"""Opens a file to be loaded: what it holds is known by a hash, and a change of it meanwhile is noticed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import glob
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from tidemill.errors import ConfigError
from tidemill.settings import private_folder

BLOCK = 1024 * 1024
_HASHED = 8 * 1024 * 1024
_HASHING_THREADS = 4


class Seen(NamedTuple):
    """By what another file, or one that was written to, is told."""

    device: int
    inode: int
    size: int
    written: int

    @classmethod
    def of(cls, found: os.stat_result) -> Seen:
        """Of a file that is looked at."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclasses.dataclass(frozen=True)
class Source:
    """A file to load. `key` identifies its content, as it was when it was `seen`; `name` is for people."""

    path: Path
    name: str
    size: int
    key: str
    seen: Seen


def open_source(name: str, spool: Path) -> Source:
    """The file of that name; `-` is standard input, kept in `spool` so that it can be read twice.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        path = _spooled(spool) if name == "-" else Path(name).expanduser()
        if path.is_dir():
            raise ConfigError("file_is_folder", f"{name} is a folder.", hint=f"Give its files: {name}/*")
        if path.exists() and not path.is_file():
            raise ConfigError(
                "file_is_pipe",
                f"{name} is no file that can be read twice.",
                hint="Use -: COMMAND | tidemill events load -",
            )
        seen = Seen.of(path.stat())
        with path.open("rb") as file:
            size, key = seen.size, content_key(file, seen.size)
    except OSError as error:
        raise ConfigError(
            "file_unreadable", f"{name} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from None
    if size == 0:
        if name == "-":
            path.unlink()
        raise ConfigError("file_empty", f"{name} is empty.", hint="Nothing was loaded.")
    return Source(path, "standard input" if name == "-" else name, size, key, seen)


def content_key(file: IO[bytes], size: int) -> str:
    """A hash over the hashes of the blocks of the file's first `size` bytes, several of which are read at once."""
    import xxhash  # ten times as fast as a cryptographic hash: this is a whole pass over the file

    def digest(start: int) -> bytes:
        return xxhash.xxh3_128_digest(os.pread(file.fileno(), min(_HASHED, size - start), start))

    whole = xxhash.xxh3_128()
    with concurrent.futures.ThreadPoolExecutor(_HASHING_THREADS) as threads:
        for block in threads.map(digest, range(0, size, _HASHED)):
            whole.update(block)
    return whole.hexdigest()


def _spooled(spool: Path) -> Path:
    with _made(spool, "stdin") as file:
        try:
            shutil.copyfileobj(sys.stdin.buffer, file, BLOCK)
        except BaseException:
            Path(file.name).unlink()
            raise
    return Path(file.name)


@contextlib.contextmanager
def spooled(spool: Path, what: str) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file on this machine for the time of the block, and where it is. What is written is there for who opens it by
    its path. `what`: for its name."""
    with _made(spool, what) as file:
        try:
            yield Path(file.name), file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _made(spool: Path, what: str) -> Any:
    """A new file in a folder; those that killed processes have left there are removed."""
    import psutil  # 20 ms

    private_folder(spool)
    ours = f"{what}-{socket.gethostname()}-"
    for left in spool.glob(f"{glob.escape(ours)}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(ours).partition("-")[0])):
            left.unlink(missing_ok=True)
    return tempfile.NamedTemporaryFile(dir=spool, prefix=f"{ours}{os.getpid()}-", delete=False, buffering=0)
