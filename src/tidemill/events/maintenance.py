"""Keeps the event store tidy: small files joined into larger ones, files that nobody needs removed.

Joining does not change which snapshot a row belongs to, so exports may run meanwhile. A file that was joined away is
kept as long as anybody may read it (`data/cleaning.py`). Snapshots are only expired after their ranges were joined: a
range of `snapshot_id` reads the same before and after. Commits go on meanwhile, only deletions wait. `tidy`, which
follows loads and captured events, leaves alone what is not small, so that it takes as long in a large store as in a new
one, and is done by one process, of all on all machines; `compact` goes over all files.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tidemill.events.data import cleaning

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake

#: A file this large is left alone.
TARGET_FILE = "128MB"
#: Small commits leave files smaller than this; bulk loads larger ones. Joining begins when there are so many of them.
_SMALL_BYTES, _SMALL_FILES = 4_000_000, 32
#: The smallest commits lie in the catalog first, and are put into a file when there are so many events of them.
_INLINED = 20_000
_KEEP = "1 hour"


@dataclasses.dataclass(frozen=True)
class Compacted:
    """How many files the events lay in before and after."""

    files_before: int
    files_after: int


def tidy(lake: Lake, many: int = _SMALL_FILES) -> None:
    """Join the small files, if there are so many, and no other process is at it."""
    with lake.cursor() as cursor:
        files = cursor.execute(
            f"SELECT count(*) FROM ducklake_list_files('lake', 'events') WHERE data_file_size_bytes < {_SMALL_BYTES}"
        ).fetchall()
        many_rows = _inlined(cursor) >= _INLINED
    if files[0][0] >= many or many_rows:
        with lake.elected() as elected:
            if elected:
                _join(lake, f", max_file_size => {_SMALL_BYTES}")


def _inlined(cursor: duckdb.DuckDBPyConnection) -> int:
    """How many rows lie in the catalog."""
    schema = cleaning.SCHEMA
    names = cleaning.asked(cursor, f"SELECT table_name FROM {schema}.ducklake_inlined_data_tables")
    counts = [f'(SELECT count(*) FROM {schema}."{name}")' for (name,) in names]
    return int(cleaning.asked(cursor, f"SELECT {' + '.join(counts)}")[0][0]) if counts else 0


def sweep(lake: Lake) -> None:
    """Remove what processes that were killed have left, if no other process is at it."""
    with lake.elected() as elected:
        if elected:
            with lake.files():
                cleaning.remove_nobodys(lake)
                cleaning.remove_plans(lake)


def compact(lake: Lake) -> Compacted:
    """Join files, expire snapshots that nothing needs, remove files that nobody needs."""
    before = _files(lake)
    _join(lake)
    with lake.files():
        cleaning.remove_nobodys(lake, told=True)
        cleaning.remove_plans(lake)
    return Compacted(before, _files(lake))


def _join(lake: Lake, which: str = "") -> None:
    with lake.files():
        with lake.cursor() as cursor:
            with lake.turn():
                cursor.execute(f"CALL lake.set_option('target_file_size', '{TARGET_FILE}')")
                with lake.changing(cursor):
                    cursor.execute("CALL ducklake_flush_inlined_data('lake')")
            lake.storage.patient(cursor)
            with lake.changing(cursor):  # beside commits: DuckLake settles it with them
                cursor.execute(f"CALL ducklake_merge_adjacent_files('lake'{which})")
            with lake.turn():
                _expire(cursor)
        cleaning.remove_joined(lake)


def _expire(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(f"CALL ducklake_expire_snapshots('lake', older_than => now() - INTERVAL '{_KEEP}')")


def _files(lake: Lake) -> int:
    with lake.cursor() as cursor:
        found = cursor.execute("SELECT count(*) FROM ducklake_list_files('lake', 'events')").fetchone()
    return int(found[0]) if found else 0
