"""Which files of the event store its catalog names, and where it says that they lie: what copies of it need to know.

Questions are put to the catalog in PostgreSQL, within whatever transaction sees it as it is to be copied.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tidemill import atomic
from tidemill.errors import ConfigError, NotFoundError
from tidemill.events.data import marker
from tidemill.events.data.objects import PROBE, Object, Objects

if TYPE_CHECKING:
    import psycopg

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
_SCHEDULED = "SELECT path FROM tidemill_events.ducklake_files_scheduled_for_deletion WHERE path_is_relative"
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
#: Files of syncs whose sources may only be read, which lie beside those of events; and their states among them, of
#: which the one with the greatest name counts.
SYNCS = "syncs/"
_OF_SYNC = re.compile(rf"{SYNCS}[0-9a-f]{{32}}/.+")
_PLAN = re.compile(rf"{SYNCS}[0-9a-f]{{32}}/plan-[0-9a-f]{{32}}(?:-.+)?\.(?:json|parquet)")
#: Files of events that were sent, until they are loaded.
_UPLOADS = "uploads/"
_UPLOAD = re.compile(rf"{_UPLOADS}[0-9a-f]{{32}}")
_STATE = re.compile(rf"({SYNCS}[0-9a-f]{{32}})/state-[0-9]{{12}}-[0-9]{{6}}\.parquet")


@dataclasses.dataclass(frozen=True)
class Named:
    """A file that the catalog names. `name`: within the store's folder, with slashes."""

    name: str
    size: int


#: Left in a place whose files have moved elsewhere.
MOVED = "moved.json"
#: What else Tidemill writes into a place of events.
_BESIDE = re.compile(rf"{re.escape(MOVED)}|{re.escape(marker.NAME)}|{PROBE}[0-9a-f]{{16}}")


@dataclasses.dataclass(frozen=True)
class Left:
    """What such a mark says: which installation has moved, and which of the files that lie there were its own."""

    installation: str
    files: frozenset[str]


def leave(objects: Objects, to: str, identity: str, files: Iterable[str]) -> None:
    """Leave a mark in a place whose files have moved: who finds it does not take them for those of the catalog, and
    knows which may be removed. `identity`: of the installation; `files`: those that were its own."""
    said = {"to": to, "installation": identity, "files": sorted(files)}
    objects.write(MOVED, io.BytesIO(json.dumps(said).encode()))


def left(objects: Objects) -> Left | None:
    """Such a mark, if there is one."""
    try:
        with objects.read(MOVED) as file:
            said = json.loads(file.read())
        return Left(str(said["installation"]), frozenset(map(str, said["files"])))
    except (NotFoundError, ValueError, KeyError, TypeError):  # or somebody else's file of that name
        return None


def own(session: psycopg.Connection[Any], objects: Objects, *, shared: bool) -> set[str]:
    """The files of this installation, also those that are to be removed. `shared`: others may have theirs there, too,
    so that a name alone does not say whose it is."""
    found = {one.name for one in checked(session.execute(NAMED.encode()).fetchall())}
    found |= {str(path) for (path,) in session.execute(_SCHEDULED.encode()).fetchall()}
    return found if shared else found | {one.name for one in objects.list() if is_data(one.name)}


def is_own(name: str) -> bool:
    """Whether only Tidemill names a file in a place of events so."""
    folder, slash, last = name.rpartition("/")
    if whole := atomic.whole_name(last):
        name = f"{folder}{slash}{whole}"
    return is_data(name) or is_beside(name)


def is_beside(name: str) -> bool:
    """Whether it is a mark, or the like: no file with events."""
    return _BESIDE.fullmatch(name) is not None


def is_data(name: str) -> bool:
    """Whether an event store names its files so, or a sync, or who takes files of events."""
    return any(rule.fullmatch(name) is not None for rule in (_DATA, _OF_SYNC, _UPLOAD))


def upload(upload_id: uuid.UUID) -> str:
    """The name of a file of events that was sent."""
    return f"{_UPLOADS}{upload_id.hex}"


def uploads(objects: Objects) -> list[Object]:
    """Files of events that were sent, and that are not loaded yet."""
    return [one for one in objects.list(_UPLOADS) if _UPLOAD.fullmatch(one.name)]


def plans(objects: Objects) -> list[Object]:
    """Files of plans of runs of such syncs. What is said of a plan comes first: without it the rest is none."""
    found = [one for one in objects.list(SYNCS) if _PLAN.fullmatch(one.name)]
    return sorted(found, key=lambda one: (not one.name.endswith(".json"), one.name))


def states(objects: Objects) -> list[Named]:
    """What syncs have delivered whose sources may only be read: the newest state of each. A running one may replace its
    own by a newer one at any time."""
    newest: dict[str, Named] = {}
    for one in objects.list(SYNCS):
        found = _STATE.fullmatch(one.name)
        if found and one.name > newest.get(found[1], Named("", 0)).name:
            newest[found[1]] = Named(one.name, one.size)
    return [newest[sync] for sync in sorted(newest)]


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
