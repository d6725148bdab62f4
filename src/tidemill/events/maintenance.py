"""Keeps the event store tidy: small files joined into larger ones, files that nobody needs removed.

Joining does not change which snapshot a row belongs to, so exports may run meanwhile. A file that was joined away is
kept for an hour, for readers that began before. Snapshots are only expired after their ranges were joined: a range of
`snapshot_id` reads the same before and after. Commits wait while files are joined, which takes well under a second
for what a commit or two leave behind.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

#: A file this large is left alone.
TARGET_FILE = "128MB"
#: Joining begins when there are so many small files (`small_files`).
SMALL_FILES = 32
_KEEP = "1 hour"


@dataclasses.dataclass(frozen=True)
class Compacted:
    """How many files the events lay in before and after."""

    files_before: int
    files_after: int


def small_files(lake: Lake) -> int:
    """Number of files under 4 MB, as small commits leave them; a bulk load writes larger ones."""
    with lake.cursor() as cursor:
        found = cursor.execute(
            "SELECT count(*) FROM ducklake_list_files('lake', 'events') WHERE data_file_size_bytes < 4000000"
        ).fetchone()
    return int(found[0]) if found else 0


def compact(lake: Lake) -> Compacted:
    """Join files, expire snapshots that nothing needs, remove files that have been unused for an hour."""
    before = _files(lake)
    with lake.turn(), lake.cursor() as cursor:
        cursor.execute("CALL ducklake_flush_inlined_data('lake')")
        cursor.execute(f"CALL lake.set_option('target_file_size', '{TARGET_FILE}')")
        cursor.execute("CALL ducklake_merge_adjacent_files('lake')")
        cursor.execute(f"CALL ducklake_expire_snapshots('lake', older_than => now() - INTERVAL '{_KEEP}')")
        cursor.execute(f"CALL ducklake_cleanup_old_files('lake', older_than => now() - INTERVAL '{_KEEP}')")
    return Compacted(before, _files(lake))


def _files(lake: Lake) -> int:
    with lake.cursor() as cursor:
        found = cursor.execute("SELECT count(*) FROM ducklake_list_files('lake', 'events')").fetchone()
    return int(found[0]) if found else 0
