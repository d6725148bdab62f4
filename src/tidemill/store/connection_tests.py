"""The last test of each connection, as it went."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables import MOMENT, connections
from tidemill.store.tables import connection_tests as table


@dataclasses.dataclass(frozen=True)
class ConnectionTest:
    """A test of a connection. `use`: what for; `steps`: each with name, title, status, message, hint, code, seconds."""

    connection_id: uuid.UUID
    use: str
    passed: bool
    tested_at: dt.datetime
    steps: list[dict[str, Any]]


class ConnectionTests:
    """The repository of these."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self, connection_id: uuid.UUID, use: str, steps: Sequence[Mapping[str, Any]], *, passed: bool, took: float
    ) -> None:
        """A test is over, which began `took` seconds ago. Of a connection that is deleted meanwhile nothing is kept."""
        began = sa.func.clock_timestamp(type_=MOMENT) - dt.timedelta(seconds=took)
        values: dict[str, Any] = {"use": use, "passed": passed, "tested_at": began, "steps": list(steps)}
        exists = sa.select(connections.c.id).where(connections.c.id == connection_id)
        insert = pg.insert(table).values(connection_id=connection_id, **values)
        with self._database.begin() as connection:
            if connection.execute(exists.with_for_update(read=True, key_share=True)).first():
                connection.execute(insert.on_conflict_do_update(index_elements=["connection_id"], set_=values))

    def of(self, owners: Collection[uuid.UUID]) -> Mapping[uuid.UUID, ConnectionTest]:
        """That of each of these connections that was tested."""
        query = sa.select(table).where(table.c.connection_id.in_(list(owners)))
        with self._database.begin() as connection:
            return {row.connection_id: ConnectionTest(**row._mapping) for row in connection.execute(query)}
