"""Keeps the event store tidy: small files joined into larger ones, files that nobody needs removed.

Joining does not change which snapshot a row belongs to, so exports may run meanwhile. A file that was joined away is
kept for an hour, for readers that began before. Snapshots are only expired after their ranges were joined: a range of
`snapshot_id` reads the same before and after. Commits go on meanwhile, only deletions wait. `tidy`, which follows loads
and captured events, leaves alone what is not small, so that it takes as long in a large store as in a new one;
`compact` goes over all files.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake

#: A file this large is left alone.
TARGET_FILE = "128MB"
#: Small commits leave files smaller than this; bulk loads larger ones. Joining begins when there are so many of them.
_SMALL_BYTES, _SMALL_FILES = 4_000_000, 32
_KEEP = "1 hour"


@dataclasses.dataclass(frozen=True)
class Compacted:
    """How many files the events lay in before and after."""

    files_before: int
    files_after: int


def tidy(lake: Lake, many: int = _SMALL_FILES) -> None:
    """Join the small files, if there are so many."""
    with lake.cursor() as cursor:
        found = cursor.execute(
            f"SELECT count(*) FROM ducklake_list_files('lake', 'events') WHERE data_file_size_bytes < {_SMALL_BYTES}"
        ).fetchall()
    if found[0][0] >= many:
        _join(lake, f", max_file_size => {_SMALL_BYTES}")


def compact(lake: Lake) -> Compacted:
    """Join files, expire snapshots that nothing needs, remove files that have been unused for an hour."""
    before = _files(lake)
    _join(lake)
    return Compacted(before, _files(lake))


def _join(lake: Lake, which: str = "") -> None:
    with lake.files(), lake.cursor() as cursor:
        with lake.turn():
            cursor.execute(f"CALL lake.set_option('target_file_size', '{TARGET_FILE}')")
            with lake.changing(cursor):
                cursor.execute("CALL ducklake_flush_inlined_data('lake')")
        with lake.changing(cursor):  # beside commits: DuckLake settles it with them
            cursor.execute(f"CALL ducklake_merge_adjacent_files('lake'{which})")
        with lake.turn():
            _expire(cursor)


def _expire(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(f"CALL ducklake_expire_snapshots('lake', older_than => now() - INTERVAL '{_KEEP}')")
    cursor.execute(f"CALL ducklake_cleanup_old_files('lake', older_than => now() - INTERVAL '{_KEEP}')")


def _files(lake: Lake) -> int:
    with lake.cursor() as cursor:
        found = cursor.execute("SELECT count(*) FROM ducklake_list_files('lake', 'events')").fetchone()
    return int(found[0]) if found else 0
