"""Rows of a query of one's own, over the events that came with the changes.

The query sees the events up to the last change. `{data_interval_start}` and `{data_interval_end}` are moments of
`inserted_at`: events of the changes lie from the first on, and before the second; all others lie before the first. They
do so whatever the clocks said, because the query sees an `inserted_at` that keeps to the order of the changes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.events import duck
from tidemill.events.ledger import Commit
from tidemill.events.sources import custom_sql
from tidemill.events.sources.source import EPOCH, Selection, conditions, moment
from tidemill.models.model import Column
from tidemill.models.types import Type

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake

_TICK = dt.timedelta(microseconds=1)
_KINDS = {
    Type.STRING: "VARCHAR",
    Type.INT64: "BIGINT",
    Type.FLOAT64: "DOUBLE",
    Type.BOOL: "BOOLEAN",
    Type.DATE: "DATE",
    Type.DATETIME: "TIMESTAMP",
    Type.TIMESTAMP: "TIMESTAMPTZ",
    Type.NUMERIC: "DECIMAL(38, 9)",
}
#: What BigQuery's types of time hold ("Data types").
_ENDS = {
    Type.DATE: ("DATE '0001-01-01'", "DATE '9999-12-31'"),
    Type.DATETIME: ("TIMESTAMP '0001-01-01 00:00:00'", "TIMESTAMP '9999-12-31 23:59:59.999999'"),
    Type.TIMESTAMP: (moment(dt.datetime.min.replace(tzinfo=dt.UTC)), moment(dt.datetime.max.replace(tzinfo=dt.UTC))),
}


class CustomSource:
    """See the module; the methods are those of source.Source. Counts are of events."""

    timed = repeatable = ordered = direct = False

    def __init__(
        self, lake: Lake, sql: str, columns: Sequence[Column], key: Sequence[str], versions: Sequence[str]
    ) -> None:
        self._lake, self._sql, self._columns = lake, sql, columns
        self._key, self._versions = key, versions

    @property
    def bounded(self) -> bool:
        """Whether it asks for what came in a time, and so gives other rows to each run."""
        return custom_sql.START in self._sql

    def catch_up(self) -> int:
        """The newest snapshot."""
        return self.position()

    def position(self) -> int:
        """The newest snapshot."""
        return self._lake.position()

    def until(self, moment: dt.datetime, after: int) -> int:
        """The last snapshot of that time."""
        return self._lake.position_at(moment, after)

    def changes(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """One, if there are any: the query is about all of them at once, and its rows cannot be told apart."""
        return [
            dataclasses.replace(one, first_time=None, last_time=None)
            for one in self._lake.commits(after, upto, math.inf)
        ]

    def count(self, selection: Selection) -> int:
        """How many events."""
        if more := conditions(selection):
            where = [self._lake.between(selection.after, selection.upto), *more]
            with self._lake.cursor() as cursor:
                found = cursor.execute(f"SELECT count(*) FROM lake.events WHERE {' AND '.join(where)}").fetchall()
            return int(found[0][0])
        return self._lake.total(selection.after, selection.upto)

    def keys(self, selection: Selection) -> str:
        """Of the rows."""
        return f"SELECT row_team, row_id FROM ({self.rows(selection, EPOCH)})"

    def rows(self, selection: Selection, handed_at: dt.datetime, *, ordered: bool = False) -> str:
        """Those that the query gives. `ordered`: the events come to it in the order of their commits."""
        start = self._end(selection.after) if selection.after else EPOCH
        end = max(self._end(selection.upto), start + _TICK)
        earlier = f"least(inserted_at, {moment(start - _TICK)})"
        within = f"greatest({moment(start)}, least(inserted_at, {moment(end - _TICK)}))"
        kept = f"CASE WHEN snapshot_id <= {selection.after} THEN {earlier} ELSE {within} END"
        where = " AND ".join([f"snapshot_id <= {selection.upto}", *conditions(selection)])
        text = custom_sql.filled(self._sql, moment(start), moment(end))
        columns = ", ".join(f'{self._value(column)} AS "{column.name}"' for column in self._columns)
        key = [f'"{name}"::VARCHAR' for name in self._key] or ["row_number() OVER ()"]
        named = f"to_json([{', '.join(key)}])" if len(key) > 1 else key[0]
        size = " + ".join(f'coalesce(strlen("{c.name}"::VARCHAR), 0)' for c in self._columns)
        return (
            f"SELECT {columns}, 0::BIGINT AS row_team, ({named})::VARCHAR AS row_id, {size} AS bytes "
            f"FROM ({custom_sql.over(text, where, kept, ordered=ordered)})"
        )

    def _value(self, column: Column) -> str:
        """The column, in its type. What BigQuery has not ends the run, with its reason: a load job would not say it.

        A key that is NULL is equal to none: such a row would come again with each run.
        """
        name = f'"{column.name}"'
        kind = _KINDS.get(column.type)
        value = f"{name}::{kind}{'[]' if column.repeated else ''}" if kind else name
        refused = []
        if column.name in self._key:
            refused.append((f"{name} IS NULL", f"the key {column.name} is NULL in a row; leave such rows out"))
        if column.repeated:
            said = f"the list {column.name} holds a NULL, which a REPEATED column has not; leave it out"
            refused.append((f"len({name}) > len(list_filter({name}, each -> each IS NOT NULL))", said))
        elif ends := _ENDS.get(column.type):
            said = f"the column {column.name} holds a time that BigQuery has not, such as infinity; leave it out"
            refused.append((f"{value} NOT BETWEEN {ends[0]} AND {ends[1]}", said))
        if not refused:
            return value
        tests = " ".join(f"WHEN {test} THEN error({duck.literal(said)})" for test, said in refused)
        return f"CASE {tests} ELSE {value} END"

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """With a key, one row of each: the newest by version, and then the one that the query gave last.

        If there is more than one, the query is asked again over the events in the order of their commits: to sort them
        is costly, and most queries give each key once.
        """
        if not self._key:
            return self.rows(selection, handed_at)
        key = ", ".join(f'"{name}"' for name in self._key)
        cursor.execute(f"CREATE TEMP TABLE gathered AS {self.rows(selection, handed_at)}")
        twice = cursor.execute(f"SELECT 1 FROM gathered GROUP BY {key} HAVING count(*) > 1 LIMIT 1").fetchone()
        if not twice:
            return "SELECT * FROM gathered"
        placed = f"SELECT *, row_number() OVER () AS row_place FROM ({self.rows(selection, handed_at, ordered=True)})"
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE gathered AS {placed}")
        order = ", ".join([*(f'"{name}" DESC NULLS LAST' for name in self._versions), "row_place DESC"])
        newest = f"row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
        return f"SELECT * EXCLUDE (row_place) FROM gathered QUALIFY {newest}"

    def folded(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """How many rows that this cursor has gathered gave way to another one with their key."""
        if not self._key:
            return 0
        key = ", ".join(f'"{name}"' for name in self._key)
        found = cursor.execute(f"SELECT count(*) - count(DISTINCT ({key})) FROM gathered").fetchall()
        return int(found[0][0])

    def intervals(self, selection: Selection, every: dt.timedelta) -> list[tuple[int, int]]:
        """None: rows have no time that is known."""
        return []

    def compression(self) -> float:
        """Guessed."""
        return 0.3

    def partitions(self, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:
        """None: it is one piece."""
        return []

    def _end(self, snapshot: int) -> dt.datetime:
        """The moment after the last commit up to this snapshot."""
        with self._lake.cursor() as cursor:
            found = cursor.execute(
                "SELECT committed_at FROM lake.commits WHERE snapshot_id <= ? AND rows > 0 "
                "ORDER BY snapshot_id DESC LIMIT 1",
                [snapshot],
            ).fetchone()
        return (found[0] if found else EPOCH).astimezone(dt.UTC) + _TICK
