"""Puts the event store's files on disk before a commit names them: DuckDB writes Parquet without a word to the disk.

PostgreSQL syncs the commit in the catalog. If the file that it names were only in the system's memory then, a power cut
would leave a catalog of files that are empty.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


class Files:
    """The files in the folder of the event store, as far as it is looked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._listed()

    def sync(self) -> None:
        """Put on disk those that have come since the last time, with their names."""
        now = self._listed()
        for folder, names in now.items():
            fresh = names - self._known.get(folder, set())
            for name in fresh:
                with contextlib.suppress(FileNotFoundError):  # somebody else's, and gone already
                    _sync(f"{folder}/{name}")
            if fresh:
                _sync(folder)
            if folder not in self._known:
                _sync(str(Path(folder).parent))
        self._known = now

    def _listed(self) -> dict[str, set[str]]:
        """Names of files by folders, which are few."""
        return {folder: set(names) for folder, _, names in os.walk(self._folder)}


def _sync(path: str) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextlib.contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection, files: Files) -> Iterator[None]:
    """A transaction that is committed at the end of the block, after the files that it wrote are on disk."""
    cursor.execute("BEGIN")
    try:
        yield
        files.sync()
        cursor.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):
            cursor.execute("ROLLBACK")
        raise
