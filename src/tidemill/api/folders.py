"""Folders of a server for what its processes share. Those of servers that were killed are removed by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "tidemill-serve-"
#: Between the making of a folder and its lock there is a moment: who is younger than this is left alone.
_YOUNG_SECONDS = 60.0


@contextlib.contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder for its owner alone, for the time of the block. It is locked as long as this process lives."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as made, _opened(Path(made)) as number:
        fcntl.flock(number, fcntl.LOCK_EX)
        _remove_abandoned(Path(made).parent)
        yield Path(made)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders that nobody locks any more."""
    for found in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _opened(found) as number:  # somebody else's; or a living server's
            if time.time() - os.fstat(number).st_mtime > _YOUNG_SECONDS:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(found)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield number
    finally:
        os.close(number)
