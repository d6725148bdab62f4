"""Questions about the events in the store."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tidemill import paging
from tidemill.errors import ConfigError
from tidemill.paging import Page, Wanted

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
    """Which events; None means any. `distinct_ids`: one of these."""

    event: str | None = None
    distinct_id: str | None = None
    uuid: str | None = None
    team_id: int | None = None
    distinct_ids: tuple[str, ...] | None = None

    def sql(self) -> tuple[str, list[object]]:
        """A WHERE clause and its parameters."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        several = given.pop("distinct_ids", None)
        terms, values = [_same(name, value) for name, value in given.items()], list(given.values())
        if several is not None:
            terms, values = [*terms, "distinct_id IN (SELECT unnest(?))"], [*values, list(several)]
        return " AND ".join(terms) or "true", values


def _same(name: str, value: object) -> str:
    """That a column has a value.

    DuckLake 1.5.5 makes a statement for its catalog of what a column is compared with, and does not quote a text with a
    NUL as one: such a text is kept out of that, at the cost of looking at all files.
    """
    return f"concat({name}) = ?" if isinstance(value, str) and "\0" in value else f"{name} = ?"


def show(lake: Lake, which: Filter, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` events by their own time, each a dict of the store's columns."""
    where, parameters = which.sql()
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    with lake.cursor() as cursor:
        found = cursor.execute(
            f"SELECT {columns} FROM lake.events WHERE {where} ORDER BY timestamp DESC, uuid LIMIT {limit}", parameters
        ).fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in found]


#: How far back from where a page of events begins it is looked for, until it is full: what came last is in few files.
_BACK = (dt.timedelta(hours=1), dt.timedelta(days=1), dt.timedelta(days=30), None)
_ARRIVED = "events, as they arrived"


def arrived(lake: Lake, which: Filter, wanted: Wanted) -> Page[dict[str, Any]]:
    """Events by pages, those that came last first.

    Raises
    ------
    ConfigError
        The cursor is none of this list.
    """
    where, parameters = which.sql()
    said = f"{_ARRIVED} {which}"
    before, mark = (
        (dt.datetime.now(dt.UTC) + dt.timedelta(days=1), "")
        if wanted.cursor is None
        else paging.key(wanted.cursor, said, (dt.datetime, str))
    )
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    found: list[Any] = []
    for back in _BACK:
        after = dt.datetime.fromtimestamp(0, dt.UTC) if back is None else min(before, dt.datetime.now(dt.UTC)) - back
        with lake.cursor() as cursor:
            found = cursor.execute(
                f"SELECT {columns} FROM lake.events WHERE {where} AND inserted_at >= ? AND inserted_at <= ? "
                f"AND (inserted_at < ? OR uuid > ?) ORDER BY inserted_at DESC, uuid LIMIT {wanted.limit + 1}",
                [*parameters, after, before, before, mark],
            ).fetchall()
        if len(found) > wanted.limit:
            break
    rows = tuple(dict(zip(_COLUMNS, row, strict=True)) for row in found[: wanted.limit])
    more = len(found) > wanted.limit
    return Page(rows, paging.cursor(said, (rows[-1]["inserted_at"], rows[-1]["uuid"])) if more else None)


def timeline(
    lake: Lake, which: Filter, after: dt.datetime, size: str, names: int
) -> list[tuple[dt.datetime, str | None, int]]:
    """Numbers of events since then by hour or day (`size`) of their own time, and by name: the most frequent `names`,
    and all others as None."""
    where, parameters = which.sql()
    with lake.cursor() as cursor:
        found = cursor.execute(
            f"WITH found AS (SELECT timestamp, event FROM lake.events WHERE {where} AND timestamp >= ? "
            "AND timestamp < now() + INTERVAL 1 DAY), "
            f"top AS (SELECT event FROM found GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {int(names)}) "
            f"SELECT date_trunc('{size}', timezone('UTC', timestamp)), top.event, count(*) "
            "FROM found LEFT JOIN top USING (event) GROUP BY 1, 2 ORDER BY 1",
            [*parameters, after],
        ).fetchall()
    return [(start.replace(tzinfo=dt.UTC), name, number) for start, name, number in found]


def telling(lake: Lake, team_id: int, ids: Sequence[str], merges: Collection[str], limit: int) -> list[dict[str, Any]]:
    """The newest events of these distinct_ids that say something of the person, or merge it with another."""
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    with lake.cursor() as cursor:
        found = cursor.execute(
            f"SELECT {columns} FROM lake.events WHERE team_id = ? AND distinct_id IN (SELECT unnest(?)) "
            "AND (list_contains(?, event) OR coalesce(\"set\", '{}') <> '{}' OR coalesce(set_once, '{}') <> '{}' "
            "OR contains(properties, '\"$set')) "
            f"ORDER BY timestamp DESC, uuid LIMIT {limit}",
            [team_id, list(ids), sorted(merges)],
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
