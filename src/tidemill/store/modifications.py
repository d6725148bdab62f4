"""How often each table of BigQuery was modified lately: what counts against its quotas."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.locks import key
from tidemill.store.tables_queue import modifications as table

_DAY = 86_400
#: One in so many sees to what is older than a day.
_CLEARS_EVERY = 64


class Modifications:
    """The repository of modifications, of all processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, limits: Sequence[tuple[int, float]]) -> float:
        """Count one more of a table, if it was modified less often than each limit (so often in so many seconds).

        Gives 0; or, if it may not be modified now, after how many seconds it may be asked again.
        """
        now = sa.func.clock_timestamp()
        with self._database.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key(f"modifications:{name}"))))
            # Of each limit the one that has to be that old: as many as the limit are younger.
            lefts = [
                seconds
                - sa.extract(
                    "epoch",
                    now
                    - sa.select(table.c.modified_at)
                    .where(table.c.name == name)
                    .order_by(table.c.modified_at.desc())
                    .offset(number - 1)
                    .limit(1)
                    .scalar_subquery(),
                )
                for number, seconds in limits
            ]
            wait = max(0.0, *(float(left or 0.0) for left in connection.execute(sa.select(*lefts)).one()))
            if not wait:
                made = connection.scalar(sa.insert(table).values(name=name, modified_at=now).returning(table.c.id))
                if made is not None and made % _CLEARS_EVERY == 0:
                    old = now - sa.func.make_interval(0, 0, 0, 0, 0, 0, _DAY)
                    connection.execute(sa.delete(table).where(table.c.modified_at < old))  # of all: stages are many
            return wait

    def count(self, name: str) -> int:
        """How often a table was modified in the last day."""
        old = sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, _DAY)
        query = sa.select(sa.func.count()).where(table.c.name == name, table.c.modified_at > old)
        with self._database.begin() as connection:
            return int(connection.scalar(query) or 0)
