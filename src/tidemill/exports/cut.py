"""Cuts a run's range of snapshots into chunks: each a fixed set of events, loaded by one job.

The limits: about `target` bytes a file; at most 4,000 partitions modified by one job (BigQuery, "Quotas": Tables).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from tidemill.exports.spec import Granularity

MAX_PARTITIONS = 3_900
_HOURS = {Granularity.HOUR: 1, Granularity.DAY: 24, Granularity.MONTH: 24 * 28, Granularity.YEAR: 24 * 365}


@dataclasses.dataclass(frozen=True)
class Part:
    """What one change holds: `bytes` as they will be in the file."""

    snapshot: int
    rows: int
    bytes: float
    first_time: dt.datetime | None
    last_time: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Snapshots in (after, upto]; with `time_from`/`time_to`, only events of that half-open range of time."""

    number: int
    after: int
    upto: int
    rows: int
    time_from: dt.datetime | None = None
    time_to: dt.datetime | None = None


#: Starts of the partitions that snapshots in (after, upto] touch, in order, each with its number of rows.
Partitions = Callable[[int, int], Sequence[tuple[dt.datetime, int]]]


def cut(
    parts: Iterable[Part], after: int, target: float, granularity: Granularity | None, partitions: Partitions
) -> list[Chunk]:
    """The chunks of a range. Every snapshot is in exactly one group, and no group is split without need.

    `granularity` is that of the destination table, None if it is not partitioned by event time.
    """
    chunks: list[Chunk] = []
    for group in _groups(parts, target):
        chunk = Chunk(len(chunks), after, group[-1].snapshot, sum(part.rows for part in group))
        after = group[-1].snapshot
        if granularity and _may_touch(group, granularity) > MAX_PARTITIONS:
            chunks += _by_time(chunk, partitions(chunk.after, chunk.upto))
        else:
            chunks.append(chunk)
    return chunks


def _groups(parts: Iterable[Part], target: float) -> Iterable[list[Part]]:
    group: list[Part] = []
    size = 0.0
    for part in parts:
        if group and size + part.bytes > target:
            yield group
            group, size = [], 0.0
        group.append(part)
        size += part.bytes
    if group:
        yield group


def _may_touch(group: list[Part], granularity: Granularity) -> int:
    """At most how many partitions the group's events lie in."""
    first = [part.first_time for part in group if part.first_time]
    last = [part.last_time for part in group if part.last_time]
    span = max(last) - min(first) if first and last else dt.timedelta.max
    return min(int(span / dt.timedelta(hours=_HOURS[granularity])) + 2, sum(part.rows for part in group))


def _by_time(chunk: Chunk, partitions: Sequence[tuple[dt.datetime, int]]) -> list[Chunk]:
    pieces = [partitions[start : start + MAX_PARTITIONS] for start in range(0, len(partitions), MAX_PARTITIONS)]
    return [
        dataclasses.replace(
            chunk,
            number=chunk.number + index,
            rows=sum(rows for _, rows in piece),
            time_from=piece[0][0] if index else None,
            time_to=pieces[index + 1][0][0] if index + 1 < len(pieces) else None,
        )
        for index, piece in enumerate(pieces)
    ]
