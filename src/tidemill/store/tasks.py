"""The queue of intervals that have ended: any number of workers take from it, each task is had by one of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from tidemill.store import troubles
from tidemill.store.database import Database
from tidemill.store.leases import Leases
from tidemill.store.records import Task
from tidemill.store.records_notify import Alarm, Cause
from tidemill.store.tables import SCHEMA
from tidemill.store.tables_queue import schedules
from tidemill.store.tables_queue import tasks as table

#: Most intervals of an export in the queue. The others come as these are done.
MOST_QUEUED = 100
#: How many runs of each connection workers have: of schedules, of backfills, and such as somebody wants.
BUSY = f"""
    SELECT e.connection_id, count(*) AS number
    FROM (
        SELECT export_id FROM {SCHEMA}.tasks WHERE worker IS NOT NULL
        UNION ALL SELECT b.export_id FROM {SCHEMA}.pieces p JOIN {SCHEMA}.backfills b ON b.id = p.backfill_id
            WHERE p.worker IS NOT NULL
        UNION ALL SELECT export_id FROM {SCHEMA}.export_triggers WHERE worker IS NOT NULL
    ) AS had JOIN {SCHEMA}.exports e ON e.id = had.export_id GROUP BY 1
"""
#: Those that may be taken now. Of an export its intervals go in order, one at a time. Of a connection so many run at
#: once; who has waited longest is first: since it was due, or since its export was served, so that none waits for all
#: intervals of another one, and who was late is not late again.
_NEXT = f"""
    WITH busy AS ({BUSY}), free AS (
        SELECT t.id, e.connection_id, greatest(t.due_at, s.served_at) AS since, row_number() OVER (
            PARTITION BY e.connection_id ORDER BY greatest(t.due_at, s.served_at), t.due_at, t.id) AS place
        FROM {SCHEMA}.tasks t
        JOIN {SCHEMA}.exports e ON e.id = t.export_id
        JOIN {SCHEMA}.schedules s ON s.export_id = t.export_id
        WHERE t.worker IS NULL AND t.due_at <= now() AND s.paused_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM {SCHEMA}.tasks o WHERE o.export_id = t.export_id AND o.id <> t.id
                AND (o.worker IS NOT NULL OR o.interval_end < t.interval_end))
    )
    SELECT free.id FROM free LEFT JOIN busy USING (connection_id)
    WHERE free.place + coalesce(busy.number, 0) <= :per_connection
    ORDER BY free.since, free.id LIMIT :limit
"""
#: Of exports that join what was missed: the intervals that are due behind one that is about to be taken, up to the
#: first that is not due. Not where that one has a run already, for what a run covers never changes.
_BEHIND = f"""
    DELETE FROM {SCHEMA}.tasks o USING {SCHEMA}.tasks t, {SCHEMA}.exports e
    WHERE t.id = ANY(:ids) AND e.id = t.export_id AND e.spec->'schedule'->>'missed' = 'join'
        AND o.export_id = t.export_id AND o.interval_end > t.interval_end AND o.worker IS NULL AND o.due_at <= now()
        AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.tasks w WHERE w.export_id = t.export_id
            AND w.interval_end > t.interval_end AND w.interval_end < o.interval_end AND w.due_at > now())
        AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.runs r WHERE r.export_id = t.export_id AND r.scheduled
            AND r.interval_end IN (t.interval_end, o.interval_end))
    RETURNING t.id, o.interval_end
"""


class Tasks(Leases[Task]):
    """The repository of tasks. Of a connection workers have `per_connection` at most."""

    _next = _NEXT

    def __init__(self, database: Database) -> None:
        super().__init__(database, table, Task)

    def any_due(self) -> bool:
        """Whether there may be something to take."""
        query = sa.select(sa.exists().where(table.c.worker.is_(None), table.c.due_at <= sa.func.now()))
        with self._database.begin() as connection:
            return bool(connection.scalar(query))

    def _taking(self, connection: sa.Connection, found: Sequence[tuple[Any, ...]]) -> None:
        """Their exports are served. Schedules first, as who deletes an export does: else each would wait for the
        other."""
        whose = sa.select(table.c.export_id).where(self._among(found))
        served = sa.update(schedules).where(schedules.c.export_id.in_(whose))
        connection.execute(served.values(served_at=sa.func.now()))
        self._join(connection, [which for (which,) in found])

    def _join(self, connection: sa.Connection, ids: Sequence[uuid.UUID]) -> None:
        """One run is made for what has waited, of exports that want it so: each of these goes up to where the last
        interval behind it ends. Nobody else takes meanwhile."""
        gone = connection.execute(sa.text(_BEHIND), {"ids": ids}).all()
        ends: dict[uuid.UUID, dt.datetime] = dict(sorted((row.id, row.interval_end) for row in gone))
        for which, end in ends.items():  # the last one of each
            connection.execute(sa.update(table).where(table.c.id == which).values(interval_end=end))

    def done(self, task: Task, over: Collection[Cause] = (), alarm: Alarm | None = None) -> None:
        """It need not be done any more, if this worker still has it. Troubles of these causes are over; another one has
        come up."""
        with self._database.begin() as connection:
            troubles.hold(connection, task.export_id)
            if self._end(connection, task):
                if over:
                    troubles.over(connection, task.export_id, over)
                if alarm is not None:
                    troubles.seen(connection, task.export_id, alarm)

    def again(
        self,
        task: Task,
        due_at: dt.datetime,
        error: dict[str, str] | None,
        tries: int,
        alarm: Alarm | None = None,
    ) -> None:
        """It is to be done again, not before then; nobody has it. `tries`: so many count."""
        with self._database.begin() as connection:
            troubles.hold(connection, task.export_id)
            if self._return(connection, task, due_at, tries, error=error) and alarm is not None:
                troubles.seen(connection, task.export_id, alarm)

    def hasten(self, export_id: uuid.UUID) -> None:
        """Those of an export that wait to be tried again are due at once."""
        change = sa.update(table).where(
            table.c.export_id == export_id, table.c.worker.is_(None), table.c.error.is_not(None)
        )
        with self._database.begin() as connection:
            connection.execute(change.values(due_at=sa.func.least(table.c.due_at, sa.func.now())))

    def of_export(self, export_id: uuid.UUID) -> list[Task]:
        """Those of an export, in order."""
        query = sa.select(table).where(table.c.export_id == export_id).order_by(table.c.interval_end)
        with self._database.begin() as connection:
            return [Task(**row._mapping) for row in connection.execute(query)]

    def count(self, export_id: uuid.UUID) -> int:
        """How many there are of an export."""
        query = sa.select(sa.func.count()).where(table.c.export_id == export_id)
        with self._database.begin() as connection:
            return int(connection.scalar(query) or 0)

    def clear(self, export_id: uuid.UUID) -> None:
        """Those of an export that nobody has need not be done."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.export_id == export_id, table.c.worker.is_(None)))
