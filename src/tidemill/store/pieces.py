"""The queue of intervals of backfills that workers move, taken under the lock of tasks: limits are for both."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.locks import key
from tidemill.store.records import Piece
from tidemill.store.tables import SCHEMA, backfills
from tidemill.store.tables_queue import pieces as table
from tidemill.store.tasks import BUSY

#: Those that may be taken now: in order, so many of a backfill at once, of all backfills in turn. Of what a connection
#: may run at once they leave one for what is due by a schedule.
_NEXT = f"""
    WITH busy AS ({BUSY}), moving AS (
        SELECT backfill_id, count(*) AS number FROM {SCHEMA}.pieces WHERE worker IS NOT NULL GROUP BY 1
    ), free AS (
        SELECT p.backfill_id, p.number, b.parallel, b.created_at, e.connection_id, coalesce(moving.number, 0)
            + row_number() OVER (PARTITION BY p.backfill_id ORDER BY p.tries, p.number) AS place
        FROM {SCHEMA}.pieces p
        JOIN {SCHEMA}.backfills b ON b.id = p.backfill_id
        JOIN {SCHEMA}.exports e ON e.id = b.export_id
        LEFT JOIN moving ON moving.backfill_id = p.backfill_id
        WHERE p.worker IS NULL AND p.due_at <= now() AND b.status = 'running' AND b.parallel IS NOT NULL
    ), placed AS (
        SELECT *, row_number() OVER (PARTITION BY connection_id ORDER BY place, created_at, backfill_id) AS turn
        FROM free WHERE place <= parallel
    )
    SELECT placed.backfill_id, placed.number FROM placed LEFT JOIN busy USING (connection_id)
    WHERE placed.turn + coalesce(busy.number, 0) <= greatest(:per_connection - 1, 1)
    ORDER BY placed.place, placed.created_at, placed.backfill_id LIMIT :limit
"""


class Pieces:
    """The repository of pieces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        """Whether there are some, of anybody."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(table.c.number)))))

    def any_due(self) -> bool:
        """Whether there may be something to take."""
        due = (table.c.worker.is_(None), table.c.due_at <= sa.func.now())
        wanted = (backfills.c.id == table.c.backfill_id, backfills.c.status == "running")
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(*due, *wanted))))

    def take(self, worker: str, limit: int, per_connection: int) -> list[Piece]:
        """Take up to so many, so that workers have fewer than `per_connection` of a connection with these."""
        with self._database.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key("tasks"))))
            found = connection.execute(sa.text(_NEXT), {"limit": limit, "per_connection": per_connection}).all()
            if not found:
                return []
            which = sa.tuple_(table.c.backfill_id, table.c.number).in_([tuple(row) for row in found])
            values = {"worker": worker, "taken_at": sa.func.now(), "tries": table.c.tries + 1}
            taken = connection.execute(sa.update(table).where(which).values(**values).returning(*table.c))
            return sorted((Piece(**row._mapping) for row in taken), key=lambda piece: piece.number)

    def done(self, piece: Piece) -> bool:
        """It need not be done any more, if this worker still has it. Whether it was the last of its backfill."""
        with self._database.begin() as connection:
            connection.execute(sa.select(backfills.c.id).where(backfills.c.id == piece.backfill_id).with_for_update())
            connection.execute(sa.delete(table).where(*_had(piece)))
            left = sa.exists().where(table.c.backfill_id == piece.backfill_id)
            return not connection.scalar(sa.select(left))

    def again(self, piece: Piece, due_at: dt.datetime, tries: int) -> None:
        """It is to be done again, not before then; nobody has it. `tries`: so many count."""
        values = {"worker": None, "taken_at": None, "due_at": due_at, "tries": tries}
        with self._database.begin() as connection:
            connection.execute(sa.update(table).where(*_had(piece)).values(**values))

    def workers(self) -> list[str]:
        """Who has some."""
        query = sa.select(table.c.worker).distinct().where(table.c.worker.is_not(None))
        with self._database.begin() as connection:
            found: list[str | None] = list(connection.scalars(query))
            return [worker for worker in found if worker]

    def abandon(self, worker: str) -> int:
        """What a dead worker had is for anybody: at once, or, if others have died of it before, ever later. Gives how
        many that were."""
        pause = sa.case((table.c.tries <= 1, 0), else_=sa.func.power(2, sa.func.least(table.c.tries, 11)))
        due = sa.func.now() + sa.func.make_interval(0, 0, 0, 0, 0, 0, pause)
        change = sa.update(table).where(table.c.worker == worker).values(worker=None, taken_at=None, due_at=due)
        with self._database.begin() as connection:
            return connection.execute(change).rowcount

    def release(self, worker: str, at_work: Collection[tuple[uuid.UUID, int]]) -> int:
        """What a worker has and is not at work on is for anybody. Gives how many that were."""
        busy = sa.tuple_(table.c.backfill_id, table.c.number).in_(list(at_work))
        change = sa.update(table).where(table.c.worker == worker, sa.not_(busy))
        with self._database.begin() as connection:
            return connection.execute(change.values(worker=None, taken_at=None)).rowcount

    def taken(self, backfill_id: uuid.UUID) -> list[Piece]:
        """Those of a backfill that workers have."""
        query = sa.select(table).where(table.c.backfill_id == backfill_id, table.c.worker.is_not(None))
        with self._database.begin() as connection:
            return [Piece(**row._mapping) for row in connection.execute(query)]


def _had(piece: Piece) -> tuple[sa.ColumnElement[bool], ...]:
    same = (table.c.backfill_id == piece.backfill_id, table.c.number == piece.number)
    return (*same, table.c.worker == piece.worker)
