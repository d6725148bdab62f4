"""A folder in the home for the time of a copy: the whole database lies there. What dead processes left is removed."""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tidemill.settings import private_folder

#: Names that tempfile gives to those of backups, restores and moves.
_NAME = re.compile(r"\.(?:backup|restore|migrate)-[a-z0-9_]{8}")
#: Held by who uses one: the system lets it go when the process is dead, however that died.
_LOCK = ".lock"
#: One without is being made just now, or is of a Tidemill before locks.
_UNLOCKED_SECONDS = 86_400


@contextlib.contextmanager
def folder(home: Path, what: str) -> Iterator[Path]:
    """Such a folder. `what`: backup, restore or migrate."""
    if not home.is_dir():  # else its mode is right: of root's, PostgreSQL is let through
        private_folder(home)
    clean(home)
    with tempfile.TemporaryDirectory(prefix=f".{what}-", dir=home) as name:
        path = Path(name)
        begun = path / f"{_LOCK}.begun"
        with begun.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            begun.rename(path / _LOCK)  # who finds it finds it held
            yield path


def clean(home: Path) -> None:
    """Remove those whose processes are dead."""
    for left in home.iterdir() if home.is_dir() else ():
        if _NAME.fullmatch(left.name) and left.is_dir() and not left.is_symlink() and _is_dead(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_dead(left: Path) -> bool:
    try:
        with (left / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - left.stat().st_mtime > _UNLOCKED_SECONDS
        return False
    except OSError:  # it is held, or another user's
        return False
