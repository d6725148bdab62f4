"""Which interval of each export's schedule is next; what was paused, and what failed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store import troubles
from tidemill.store.database import Database
from tidemill.store.records import Export, Standing
from tidemill.store.records_notify import Alarm
from tidemill.store.tables import SCHEMA, exports
from tidemill.store.tables_queue import failures, tasks
from tidemill.store.tables_queue import schedules as table

#: Intervals follow one another: where one does not begin where those before it ended, some are missing.
_MISSING = f"""
    WITH known AS (
        SELECT interval_start AS start, interval_end AS finish FROM {SCHEMA}.runs
            WHERE export_id = :export_id AND scheduled
        UNION ALL SELECT interval_start, interval_end FROM {SCHEMA}.tasks WHERE export_id = :export_id
        UNION ALL SELECT next_start, next_start FROM {SCHEMA}.schedules WHERE export_id = :export_id
    ), placed AS (
        SELECT start, max(finish) OVER (
            ORDER BY start, finish ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM known
    ), gaps AS (
        SELECT greatest(coalesce(placed.before, s.expected_from), s.expected_from) AS start, placed.start AS finish
        FROM placed JOIN {SCHEMA}.schedules s ON s.export_id = :export_id
    )
    SELECT start, finish FROM gaps WHERE start < finish ORDER BY start
"""


#: Who deletes an export has its row first, too. Nobody is waited for: so nobody can wait for us in turn.
_MOVE = f"""
    WITH wanted AS (
        SELECT * FROM unnest(:ids, :starts, :ends, :next_starts, :next_ends)
            AS w (id, starts, ends, next_start, next_end)
    ), held AS (
        SELECT e.id FROM {SCHEMA}.exports e WHERE e.id = ANY(:ids) FOR KEY SHARE SKIP LOCKED
    ), mine AS (
        SELECT s.export_id FROM {SCHEMA}.schedules s JOIN wanted w ON w.id = s.export_id
        WHERE s.next_start = w.starts AND s.next_end = w.ends AND s.paused_at IS NULL
            AND s.export_id IN (SELECT id FROM held)
        FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE {SCHEMA}.schedules s SET next_start = w.next_start, next_end = w.next_end
    FROM wanted w WHERE w.id = s.export_id AND s.export_id IN (SELECT export_id FROM mine) RETURNING s.export_id
"""
_MOMENTS = pg.ARRAY(sa.DateTime(timezone=True))
_MOVED: tuple[sa.BindParameter[Any], ...] = (
    sa.bindparam("ids", type_=pg.ARRAY(pg.UUID(as_uuid=True))),
    *(sa.bindparam(name, type_=_MOMENTS) for name in ("starts", "ends", "next_starts", "next_ends")),
)
_SPAN = ("interval_start", "interval_end", "due_at")


@dataclasses.dataclass(frozen=True)
class Ready:
    """Intervals (start, end, when their run is to begin) that follow one another from a schedule's next one on, and
    when the one behind them ends."""

    standing: Standing
    spans: Sequence[tuple[dt.datetime, dt.datetime, dt.datetime]]
    next_end: dt.datetime | None

    @property
    def next_start(self) -> dt.datetime:
        """When the one behind them begins."""
        return self.spans[-1][1] if self.spans else self.standing.next_start


class Schedules:
    """The repository of schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, export_id: uuid.UUID) -> Standing | None:
        """How the schedule of an export stands; None if it has none yet."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.export_id == export_id)).first()
        return Standing(**row._mapping) if row else None

    def now(self) -> dt.datetime:
        """The time by the database's clock."""
        with self._database.begin() as connection:
            return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()

    def without(self) -> list[Export]:
        """Exports of which it is not settled yet which interval is their first."""
        query = sa.select(exports).where(~sa.exists().where(table.c.export_id == exports.c.id))
        with self._database.begin() as connection:
            return [Export(**row._mapping) for row in connection.execute(query)]

    def settle(self, export_id: uuid.UUID, next_start: dt.datetime, next_end: dt.datetime | None) -> None:
        """The first interval of an export, unless that is settled already."""
        values = {"next_start": next_start, "next_end": next_end, "expected_from": next_start}
        statement = pg.insert(table).values(export_id=export_id, **values).on_conflict_do_nothing()
        with self._database.begin() as connection:
            if connection.scalar(sa.select(exports.c.id).where(exports.c.id == export_id).with_for_update(read=True)):
                connection.execute(statement)

    def change(self, export_id: uuid.UUID, **fields: Any) -> None:
        """Change fields of one."""
        with self._database.begin() as connection:
            connection.execute(sa.update(table).where(table.c.export_id == export_id).values(**fields))

    def replan(self, standing: Standing, start: dt.datetime, end: dt.datetime | None, expected: dt.datetime) -> bool:
        """Another interval is next. Whether it was done: not if the schedule has gone on since it was looked at."""
        change = sa.update(table).where(
            table.c.export_id == standing.export_id,
            table.c.next_start == standing.next_start,
            table.c.next_end.is_not_distinct_from(standing.next_end),
        )
        values = {"next_start": start, "next_end": end, "expected_from": expected}
        with self._database.begin() as connection:
            return bool(connection.execute(change.values(**values)).rowcount)

    def due(self, now: dt.datetime, limit: int) -> list[tuple[Standing, Export, int]]:
        """Schedules of which an interval has ended, and is not in the queue, the longest ago first; with their exports,
        and how many of their intervals are in the queue."""
        number = sa.select(sa.func.count()).where(tasks.c.export_id == exports.c.id).scalar_subquery()
        query = sa.select(table, exports, number).join(exports, exports.c.id == table.c.export_id)
        query = query.where(table.c.paused_at.is_(None), table.c.next_end <= now)
        width, both = len(table.c), len(table.c) + len(exports.c)
        with self._database.begin() as connection:
            found = connection.execute(query.order_by(table.c.next_end).limit(limit)).all()
        ours, theirs = [column.name for column in table.c], [column.name for column in exports.c]
        return [
            (
                Standing(**dict(zip(ours, row[:width], strict=True))),
                Export(**dict(zip(theirs, row[width:both], strict=True))),
                int(row[both]),
            )
            for row in found
        ]

    def queue(
        self,
        standing: Standing,
        spans: Sequence[tuple[dt.datetime, dt.datetime, dt.datetime]],
        next_end: dt.datetime | None,
    ) -> bool:
        """Put intervals of one schedule into the queue; see `queue_all`."""
        return bool(self.queue_all([Ready(standing, spans, next_end)]))

    def queue_all(self, ready: Sequence[Ready]) -> set[uuid.UUID]:
        """Put intervals into the queue, and go on behind the last one of each schedule. Gives of which exports.

        Of a schedule that was paused or changed since it was looked at, or that somebody is at, none: it is looked at
        again. So thousands that are due at once take a few statements, and wait for nobody.
        """
        with self._database.begin() as connection:
            moved = {
                "ids": [one.standing.export_id for one in ready],
                "starts": [one.standing.next_start for one in ready],
                "ends": [one.standing.next_end for one in ready],
                "next_starts": [one.next_start for one in ready],
                "next_ends": [one.next_end for one in ready],
            }
            mine: set[uuid.UUID] = set(connection.scalars(sa.text(_MOVE).bindparams(*_MOVED), moved))
            rows = [
                {"id": uuid.uuid4(), "export_id": one.standing.export_id, **dict(zip(_SPAN, span, strict=True))}
                for one in ready
                if one.standing.export_id in mine
                for span in one.spans
            ]
            if rows:
                connection.execute(pg.insert(tasks).on_conflict_do_nothing(), rows)
            return mine

    def fail(
        self,
        export_id: uuid.UUID,
        interval_end: dt.datetime,
        code: str,
        since: dt.datetime,
        alarm: Callable[[int], Alarm] | None = None,
    ) -> int:
        """Note a failure. Gives how many there were since then, with this one; those of before are forgotten.

        `alarm`: what is told of it, by that number.
        """
        with self._database.begin() as connection:
            connection.execute(sa.insert(failures).values(export_id=export_id, interval_end=interval_end, code=code))
            connection.execute(
                sa.delete(failures).where(failures.c.export_id == export_id, failures.c.failed_at < since)
            )
            query = sa.select(sa.func.count()).where(failures.c.export_id == export_id)
            number = int(connection.scalar(query) or 0)
            if alarm is not None:
                troubles.seen(connection, export_id, alarm(number))
            return number

    def forgive(self, export_id: uuid.UUID) -> None:
        """Failures up to now do not count any more."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(failures).where(failures.c.export_id == export_id))

    def pause(self, export_id: uuid.UUID, by: str, reason: dict[str, str] | None, alarm: Alarm | None = None) -> bool:
        """Nothing is run any more. Whether it was not paused already."""
        change = sa.update(table).where(table.c.export_id == export_id, table.c.paused_at.is_(None))
        values = {"paused_at": sa.func.now(), "paused_by": by, "pause_reason": reason}
        with self._database.begin() as connection:
            troubles.hold(connection, export_id)
            done = bool(connection.execute(change.values(**values)).rowcount)
            if done and alarm is not None:
                troubles.seen(connection, export_id, alarm)
            return done

    def missing(self, export_id: uuid.UUID) -> list[tuple[dt.datetime, dt.datetime]]:
        """Spans between the first interval and the next one that neither a run nor the queue has, in order."""
        with self._database.begin() as connection:
            found = connection.execute(sa.text(_MISSING), {"export_id": export_id})
            return [(row.start, row.finish) for row in found]
