"""Questions about the events in the store."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

_COLUMNS = (
    "uuid",
    "event",
    "distinct_id",
    "timestamp",
    "team_id",
    "ip",
    "properties",
    "set",
    "set_once",
    "inserted_at",
)
#: Bytes in Parquet for each byte of text, while there is nothing to measure.
GUESSED = 0.2
_GROUPS = {"event": "event", "team": "team_id", "day": "strftime(timezone('UTC', timestamp), '%Y-%m-%d')"}


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which events; None means any."""

    event: str | None = None
    distinct_id: str | None = None
    uuid: str | None = None
    team_id: int | None = None

    def sql(self) -> tuple[str, list[object]]:
        """A WHERE clause and its parameters."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return " AND ".join(f"{name} = ?" for name in given) or "true", list(given.values())


def show(lake: Lake, which: Filter, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` events by their own time, each a dict of the store's columns."""
    where, parameters = which.sql()
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    with lake.cursor() as cursor:
        found = cursor.execute(
            f"SELECT {columns} FROM lake.events WHERE {where} ORDER BY timestamp DESC, uuid LIMIT {limit}", parameters
        ).fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in found]


def count(lake: Lake, by: str | None, which: Filter) -> list[tuple[Any, int]]:
    """Numbers of events: one row with None, or one for each value of `by` (event, team or day), most first.

    Raises
    ------
    ConfigError
        If `by` is none of these.
    """
    if by is not None and by not in _GROUPS:
        raise ConfigError("count_by", f"Events cannot be counted by {by!r}.", hint=f"By one of {', '.join(_GROUPS)}.")
    where, parameters = which.sql()
    group = _GROUPS[by] if by else "NULL"
    order = "1" if by == "day" else "2 DESC, 1"
    with lake.cursor() as cursor:
        found = cursor.execute(
            f"SELECT {group}, count(*) FROM lake.events WHERE {where} {'GROUP BY 1' if by else ''} ORDER BY {order}",
            parameters,
        ).fetchall()
    return [(value, number) for value, number in found]


def partitions(lake: Lake, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:
    """Starts of the partitions (`size`: hour, day, month or year) that snapshots in (after, upto] touch, with rows."""
    between = lake.between(after, upto)
    with lake.cursor() as cursor:
        return cursor.execute(
            f"SELECT date_trunc('{size}', timestamp), count(*) FROM lake.events WHERE {between} GROUP BY 1 ORDER BY 1"
        ).fetchall()


def compression(lake: Lake) -> float:
    """Bytes in Parquet for each byte of text, measured over the store; GUESSED while it is empty."""
    with lake.cursor() as cursor:
        stored = cursor.execute(
            "SELECT sum(file_size_bytes) FROM ducklake_table_info('lake') WHERE table_name = 'events'"
        ).fetchone()
        told = cursor.execute("SELECT sum(bytes) FROM lake.commits").fetchone()
    if not stored or not told or not stored[0] or not told[0]:
        return GUESSED
    return min(1.0, float(stored[0]) / float(told[0]))
