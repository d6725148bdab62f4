"""What the ledger of commits says of a range of snapshots."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


@dataclasses.dataclass(frozen=True)
class Commit:
    """What a snapshot holds, or several in a row, whose last one it is.

    `bytes` is the size of the rows' text, uncompressed. `since` and `committed_at`: when the first and the last of them
    were committed. Changes to people have no such times: several commits may be in one.
    """

    snapshot: int
    rows: int
    bytes: int
    committed_at: dt.datetime | None = None
    first_time: dt.datetime | None = None
    last_time: dt.datetime | None = None
    since: dt.datetime | None = None


def now() -> dt.datetime:
    """The time of a commit that is made now."""
    return dt.datetime.now(dt.UTC)


def newest(cursor: duckdb.DuckDBPyConnection) -> int:
    """The newest snapshot, whatever came with it."""
    return int(cursor.execute("SELECT id FROM lake.current_snapshot()").fetchall()[0][0])


def commits(cursor: duckdb.DuckDBPyConnection, after: int, upto: int, fold: float = 0) -> list[Commit]:
    """Those of the snapshots in (after, upto] that hold events, in order. See `folded`."""
    return folded(
        cursor,
        "SELECT snapshot_id AS change, rows, bytes, committed_at, first_time, last_time FROM lake.commits "
        f"WHERE snapshot_id > {after} AND snapshot_id <= {upto} AND rows > 0",
        fold,
    )


def behind(cursor: duckdb.DuckDBPyConnection, places: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Of each of these snapshots: how many rows came after it, up to the next of them, and when the first of them was
    committed, in seconds since 1970. Those behind which nothing came are left out."""
    if not places:
        return {}
    listed = ", ".join(f"({place})" for place in sorted(places))
    found = cursor.execute(
        f"""
        SELECT place, sum(rows)::BIGINT, epoch(min(committed_at))
        FROM (SELECT snapshot_id, rows, committed_at FROM lake.commits WHERE snapshot_id > {min(places)} AND rows > 0) c
        ASOF JOIN (SELECT col0::BIGINT AS place FROM (VALUES {listed})) p ON c.snapshot_id > p.place GROUP BY place
        """
    ).fetchall()
    return {int(place): (int(rows), float(since)) for place, rows, since in found}


def between(cursor: duckdb.DuckDBPyConnection, after: int, upto: int) -> str:
    """A condition: events that came with the snapshots in (after, upto], and when these were committed.

    The times say nothing new, but DuckLake knows by them which files it need not open; by the snapshots it does not.
    """
    (first, last) = cursor.execute(
        "SELECT min(committed_at), max(committed_at) FROM lake.commits "
        f"WHERE snapshot_id > {after} AND snapshot_id <= {upto} AND rows > 0"
    ).fetchall()[0]
    if first is None:
        return "false"
    times = (f"TIMESTAMPTZ '{moment.astimezone(dt.UTC).isoformat(sep=' ')}'" for moment in (first, last))
    return f"{snapshots(after, upto)} AND inserted_at BETWEEN {' AND '.join(times)}"


def snapshots(after: int, upto: int) -> str:
    """A condition: rows that came with the snapshots in (after, upto]."""
    return f"snapshot_id > {after} AND snapshot_id <= {upto}"


def folded(cursor: duckdb.DuckDBPyConnection, changes: str, fold: float) -> list[Commit]:
    """The rows of a SELECT of `change` and what the fields of a Commit are called, in the order of the changes.

    `fold`: several in a row become one that together have about so many bytes: captured events are committed some
    twenty times a second, and whoever looks at weeks of that need not hold all of it. 0 leaves each as it is; of
    `math.inf`, all become one.
    """
    if not fold:
        rows = f"SELECT *, committed_at AS since FROM ({changes}) ORDER BY change"
    else:
        rows = f"""
            SELECT max(change), sum(rows)::BIGINT, sum(bytes)::BIGINT, arg_max(committed_at, change), min(first_time),
                max(last_time), arg_min(committed_at, change)
            FROM (
                SELECT *, sum(bytes) OVER (ORDER BY change ROWS UNBOUNDED PRECEDING) - bytes AS before FROM ({changes})
            )
            GROUP BY floor(before / '{fold}'::DOUBLE) ORDER BY 1
            """
    return [Commit(*row) for row in cursor.execute(rows).fetchall()]
