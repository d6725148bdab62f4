"""Jobs of BigQuery that runs have at work, on all machines: so many of a connection at once."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.locks import key
from tidemill.store.tables_queue import jobs as table


class Jobs:
    """The repository of jobs at work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, connection_id: uuid.UUID, worker: str, most: int) -> int | None:
        """A place for one more, if fewer than that are taken; None if not."""
        with self._database.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key(f"jobs:{connection_id}"))))
            taken = sa.select(sa.func.count()).where(table.c.connection_id == connection_id)
            if (connection.scalar(taken) or 0) >= most:
                return None
            values = {"connection_id": connection_id, "worker": worker}
            place: int | None = connection.scalar(sa.insert(table).values(**values).returning(table.c.id))
            return place

    def free(self, place: int) -> None:
        """The job is over, or nobody waits for it any more."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.id == place))

    def workers(self, connection_id: uuid.UUID) -> set[str]:
        """Who has places."""
        query = sa.select(table.c.worker).distinct().where(table.c.connection_id == connection_id)
        with self._database.begin() as connection:
            return set(connection.scalars(query))

    def abandon(self, worker: str) -> None:
        """A worker is dead: whoever goes on with its runs takes places anew."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.worker == worker))
