"""The queue of intervals of backfills that workers move, taken under the lock of tasks: limits are for both."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.leases import Leases
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


class Pieces(Leases[Piece]):
    """The repository of pieces. Of a connection workers have fewer than `per_connection` with those that they take."""

    _next = _NEXT

    def __init__(self, database: Database) -> None:
        super().__init__(database, table, Piece)

    def any_due(self) -> bool:
        """Whether there may be something to take."""
        due = (table.c.worker.is_(None), table.c.due_at <= sa.func.now())
        wanted = (backfills.c.id == table.c.backfill_id, backfills.c.status == "running")
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(*due, *wanted))))

    def done(self, piece: Piece) -> bool:
        """It need not be done any more, if this worker still has it. Whether it was the last of its backfill."""
        with self._database.begin() as connection:
            connection.execute(sa.select(backfills.c.id).where(backfills.c.id == piece.backfill_id).with_for_update())
            self._end(connection, piece)
            left = sa.exists().where(table.c.backfill_id == piece.backfill_id)
            return not connection.scalar(sa.select(left))

    def again(self, piece: Piece, due_at: dt.datetime, tries: int) -> None:
        """It is to be done again, not before then; nobody has it. `tries`: so many count."""
        with self._database.begin() as connection:
            self._return(connection, piece, due_at, tries)

    def taken(self, backfill_id: uuid.UUID) -> list[Piece]:
        """Those of a backfill that workers have."""
        query = sa.select(table).where(table.c.backfill_id == backfill_id, table.c.worker.is_not(None))
        with self._database.begin() as connection:
            return [Piece(**row._mapping) for row in connection.execute(query)]
