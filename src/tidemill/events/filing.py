"""The files of the event store: where they lie, which of them the catalog names, and how they are read and written.

`Files` is what copies of an installation need of the place; `Folder` is a local one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from tidemill.errors import ConfigError
from tidemill.settings import private_folder

#: Left in a folder whose files have moved elsewhere: the catalog says where.
MOVED = "MOVED.json"
#: Of names within the store's folder that are not its files.
_OTHERS = ("held/",)
#: Of the catalog: each file that it names, by its path within the store's folder, and its size; which of them are
#: relative is told, too, for none may lie elsewhere.
NAMED = """
    SELECT s.path || t.path || f.path, f.file_size_bytes,
        f.path_is_relative AND t.path_is_relative AND s.path_is_relative
    FROM (
        SELECT table_id, path, path_is_relative, file_size_bytes FROM tidemill_events.ducklake_data_file
        UNION ALL
        SELECT table_id, path, path_is_relative, file_size_bytes FROM tidemill_events.ducklake_delete_file
    ) f
    JOIN (
        SELECT DISTINCT ON (table_id) * FROM tidemill_events.ducklake_table ORDER BY table_id, begin_snapshot DESC
    ) t USING (table_id)
    JOIN (
        SELECT DISTINCT ON (schema_id) * FROM tidemill_events.ducklake_schema ORDER BY schema_id, begin_snapshot DESC
    ) s USING (schema_id)
    ORDER BY 1
"""
#: Where the catalog says that its files lie. It ends with a separator.
PLACE = "SELECT value FROM tidemill_events.ducklake_metadata WHERE key = 'data_path' AND scope IS NULL"
SET_PLACE = "UPDATE tidemill_events.ducklake_metadata SET value = %s WHERE key = 'data_path' AND scope IS NULL"
#: Files that nothing names any more, and that are to be removed: where they are not, there is nothing to remove.
FORGET_OLD = "DELETE FROM tidemill_events.ducklake_files_scheduled_for_deletion"
NEWEST = "SELECT max(snapshot_id) FROM tidemill_events.ducklake_snapshot"
#: The next commit is so many numbers later.
SKIP = """
    INSERT INTO tidemill_events.ducklake_snapshot
        (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id)
    SELECT snapshot_id + %(gap)s, now(), schema_version, next_catalog_id, next_file_id
    FROM tidemill_events.ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1
"""
SKIPPED = """
    INSERT INTO tidemill_events.ducklake_snapshot_changes (snapshot_id, changes_made)
    SELECT max(snapshot_id), '' FROM tidemill_events.ducklake_snapshot
"""


@dataclasses.dataclass(frozen=True)
class Named:
    """A file that the catalog names. `name`: within the store's folder, with slashes."""

    name: str
    size: int


class Files(Protocol):
    """A place of files. Names are relative to it, with slashes; files never change once they are there."""

    @property
    def place(self) -> str:
        """Where it is, for people and for the catalog; it ends with a separator."""

    def sizes(self) -> dict[str, int]:
        """Which files there are, with their sizes."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Read one. FileNotFoundError if it is not there."""

    def write(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Write one. It is there, on disk, when the block has ended; if that raises, it is not."""

    def remove(self, name: str) -> None:
        """Remove one, if it is there."""

    def mark(self, said: dict[str, str] | None) -> None:
        """Leave a mark that the files have moved elsewhere; None: take it away."""

    def marked(self) -> bool:
        """Whether there is such a mark."""


class Folder:
    """See Files: a folder of this machine."""

    def __init__(self, path: Path, *, private: bool) -> None:
        """`private`: it is ours alone, and not one that the user named."""
        self._path, self._private = path, private

    @property
    def place(self) -> str:
        """See Files."""
        return f"{self._path}{os.sep}"

    def sizes(self) -> dict[str, int]:
        """See Files."""
        found = {}
        for folder, _, names in os.walk(self._path):
            for name in names:
                path = Path(folder) / name
                relative = path.relative_to(self._path).as_posix()
                if relative != MOVED and not relative.startswith(_OTHERS):
                    found[relative] = path.stat().st_size
        return found

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """See Files."""
        return (self._path / name).open("rb")

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[IO[bytes]]:
        """See Files."""
        path = self._path / name
        self._make(path.parent)
        part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync(path.parent)

    def _make(self, folder: Path) -> None:
        """Make a folder within the place, with those above it; their names are on disk then."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        if self._private:
            private_folder(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            _sync(each.parent)

    def remove(self, name: str) -> None:
        """See Files."""
        (self._path / name).unlink(missing_ok=True)

    def mark(self, said: dict[str, str] | None) -> None:
        """See Files."""
        if said is None:
            (self._path / MOVED).unlink(missing_ok=True)
            return
        with self.write(MOVED) as file:
            file.write(json.dumps(said).encode())

    def marked(self) -> bool:
        """See Files."""
        return (self._path / MOVED).exists()


def checked(rows: list[tuple[str, int, bool]]) -> list[Named]:
    """What NAMED gave.

    Raises
    ------
    ConfigError
        A file lies outside of the store's folder.
    """
    for name, _, relative in rows:
        if not relative or name.startswith("/") or ".." in name.split("/"):
            raise ConfigError(
                "event_file_elsewhere",
                f"The catalog of the event store names a file outside of its folder: {name}.",
                hint="Tidemill does not make such files: it cannot copy this store.",
            )
    return [Named(name, size) for name, size, _ in rows]


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
