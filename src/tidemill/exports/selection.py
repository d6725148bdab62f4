"""Which events of the store an export is about: how many there are, and those that a run set aside.

Questions are put to the store's table by its own column names; a range is (after, upto] of snapshots.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from tidemill.events.lake import Lake
from tidemill.events.sources.source import Selection
from tidemill.exports.spec import ExportSpec

_KNOWN = "uuid IN (SELECT unnest(?::VARCHAR[]))"
_WHOLE = ("event", "distinct_id", "timestamp", "team_id", "ip", "properties", "set", "set_once", "elements")


@dataclasses.dataclass(frozen=True)
class Found:
    """Where an event is."""

    uuid: str
    snapshot: int
    event: str
    timestamp: dt.datetime


def of(spec: ExportSpec, after: int, upto: int) -> Selection:
    """The rows of these changes that the export takes."""
    return Selection(
        after,
        upto,
        include=spec.include_events,
        exclude=spec.exclude_events,
        team_id=spec.team_id,
        all_elements=spec.all_elements,
    )


def find(lake: Lake, after: int, upto: int, uuids: Sequence[str]) -> list[Found]:
    """The events of the range that have these uuids (one uuid may be there once for each team)."""
    query = (
        f"SELECT uuid, snapshot_id, event, timestamp FROM lake.events WHERE {lake.between(after, upto)} AND {_KNOWN}"
    )
    with lake.cursor() as cursor:
        rows = cursor.execute(query, [list(uuids)]).fetchall()
    return [Found(uuid, snapshot, event, time.astimezone(dt.UTC)) for uuid, snapshot, event, time in rows]


def whole(lake: Lake, after: int, upto: int, uuids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The same events with all that is known of them, one at a time: they may be large."""
    names = ", ".join(f'"{name}"' for name in ("uuid", *_WHOLE))
    query = f"SELECT {names} FROM lake.events WHERE {lake.between(after, upto)} AND {_KNOWN} ORDER BY snapshot_id, uuid"
    with lake.cursor() as cursor:
        result = cursor.execute(query, [list(uuids)])
        while row := result.fetchone():
            yield dict(zip(("uuid", *_WHOLE), row, strict=True))
