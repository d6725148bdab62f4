"""Which files of the event store its catalog names, and where it says that they lie: what copies of it need to know.

Questions are put to the catalog in PostgreSQL, within whatever transaction sees it as it is to be copied.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re

from tidemill.errors import ConfigError, NotFoundError
from tidemill.events.data.objects import Objects

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

#: Names that DuckLake gives to files with events, or with what was deleted of them.
_DATA = re.compile(r"main/(?:[^/]+/)+ducklake-[0-9a-f-]+(?:-delete)?\.parquet")


@dataclasses.dataclass(frozen=True)
class Named:
    """A file that the catalog names. `name`: within the store's folder, with slashes."""

    name: str
    size: int


#: Left in a place whose files have moved elsewhere.
MOVED = "moved.json"


def leave(objects: Objects, to: str, identity: str) -> None:
    """Leave a mark in a place whose files have moved: who finds it does not take them for those of the catalog.
    `identity`: of the installation."""
    objects.write(MOVED, io.BytesIO(json.dumps({"to": to, "installation": identity}).encode()))


def left_by(objects: Objects) -> str | None:
    """Of which installation there is such a mark."""
    try:
        with objects.read(MOVED) as file:
            return str(json.loads(file.read()).get("installation"))
    except NotFoundError:
        return None


def is_data(name: str) -> bool:
    """Whether an event store names its files so."""
    return _DATA.fullmatch(name) is not None


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
