"""Removes files of the event store that nobody needs: those that were joined away, and those that no catalog names.

A file that was joined away is removed when an hour has passed, and when nobody can read it any more. Who reads has a
transaction in PostgreSQL for all that time, and it can see the file only if it began before the joining had ended: that
is what PostgreSQL itself asks before it removes an old row, and so it is asked here of the row that says that the file
is not needed. No clock has a part in it.

Files that no catalog names are left by processes that were killed, and by commits that failed: who commits names them
within minutes, so after a day they are nobody's.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import TYPE_CHECKING, Any

from tidemill.errors import TidemillError
from tidemill.events import filing
from tidemill.events.data.bucket import BucketObjects
from tidemill.events.data.location import Folder
from tidemill.events.duck import literal

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake

_log = logging.getLogger(__name__)
_CATALOG = "__ducklake_metadata_lake"
SCHEMA = "tidemill_events"
_WAITING = f"{SCHEMA}.ducklake_files_scheduled_for_deletion"
_KEEP = "1 hour"
#: Of rows that were written before the oldest transaction that anybody has open: what PostgreSQL calls its horizon.
_UNREADABLE = f"""
    SELECT path FROM {_WAITING} WHERE path_is_relative AND schedule_start < now() - interval '{_KEEP}' AND age(xmin) > (
        SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity WHERE datname = current_database())"""
_NAMED = f"""
    SELECT path FROM {SCHEMA}.ducklake_data_file UNION ALL SELECT path FROM {SCHEMA}.ducklake_delete_file
    UNION ALL SELECT path FROM {_WAITING}"""
#: Who has been at it for so long may have written a file that it will name.
_LONG = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start < now() - interval '12 hours'"""
_NOBODYS_SECONDS = 24 * 3600
_PLAN_DAYS = 30.0
#: Names that DuckLake gives.
_FILE = re.compile(r"main/(?:events|commits)/(ducklake-[0-9a-f-]+\.parquet)")
#: So many, and such a share of all files, are not removed without being asked to: is that the right catalog?
_MANY, _SHARE = 100, 0.1
_AT_ONCE = 1_000


def remove_joined(lake: Lake) -> int:
    """Remove the files that were joined away, or deleted, and that nobody reads any more. Tells how many.

    To be called with the right to change files.
    """
    with lake.cursor() as cursor:
        paths = [path for (path,) in asked(cursor, _UNREADABLE)]
        for first in range(0, len(paths), _AT_ONCE):
            some = paths[first : first + _AT_ONCE]
            lake.storage.objects.delete(some)
            listed = ", ".join(map(literal, some))
            cursor.execute(
                f"CALL postgres_execute('{_CATALOG}', {literal(f'DELETE FROM {_WAITING} WHERE path IN ({listed})')})"
            )
    return len(paths)


def remove_nobodys(lake: Lake, *, told: bool = False) -> int:
    """Remove the files that no catalog names. Tells how many. `told`: to do so by a person.

    To be called with the right to change files.
    """
    objects, location = lake.storage.objects, lake.storage.location
    if isinstance(location, Folder) and location.given:  # other installations may have theirs there
        return 0
    with lake.cursor() as cursor:
        (now,) = asked(cursor, "SELECT now()")[0]
    before = now - dt.timedelta(seconds=_NOBODYS_SECONDS)
    files = [(found[1], one) for one in objects.list("main/") if (found := _FILE.fullmatch(one.name))]
    old = {name: one.name for name, one in files if one.written_at < before}
    if isinstance(objects, BucketObjects):
        _abort(objects, before)
    if not old:
        return 0
    with lake.cursor() as cursor:
        if asked(cursor, _LONG)[0][0]:
            return 0
        for (path,) in asked(cursor, _NAMED):
            old.pop(path.rpartition("/")[2], None)
    if not told and len(old) > max(_MANY, _SHARE * len(files)):
        _log.warning(
            "%d of %d files in %s are in no catalog; if this is the right database: tidemill events compact",
            *(len(old), len(files), objects.place),
        )
        return 0
    objects.delete(old.values())
    return len(old)


def remove_plans(lake: Lake) -> int:
    """Remove plans of syncs that processes have left which were killed, a month ago: in BigQuery such expire then, too.
    They hold rows of people. Tells how many files."""
    objects = lake.storage.objects
    with lake.cursor() as cursor:
        (now,) = asked(cursor, "SELECT now()")[0]
    before = now - dt.timedelta(days=_PLAN_DAYS)
    old = [one.name for one in filing.plans(objects) if one.written_at < before]
    objects.delete(old)
    return len(old)


def _abort(objects: BucketObjects, before: dt.datetime) -> None:
    """Large files whose upload a dead process began: their parts cost, and nobody sees them."""
    try:
        objects.abort_uploads(before)
    except TidemillError as error:  # not every store knows such, and not everybody may ask
        _log.info("uploads that were never finished were not looked for: %s", error)


def asked(cursor: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """What PostgreSQL answers."""
    return cursor.execute(f"SELECT * FROM postgres_query('{_CATALOG}', {literal(query)})").fetchall()
