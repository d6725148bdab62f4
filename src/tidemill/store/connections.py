"""Saved connections."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError
from tidemill.store.named import Named
from tidemill.store.records import Connection
from tidemill.store.tables import connections as table
from tidemill.store.tables_sync import sources


class Connections(Named[Connection]):
    """The repository of connections."""

    table, record, what, command = table, Connection, "connection", "connection"
    held = ("exports", "tidemill export list, tidemill export delete NAME")

    def find(
        self, *, after: dt.datetime | None = None, before: dt.datetime | None = None, by: str | None = None
    ) -> list[Connection]:
        """All, or those connected after or before a moment, or by a user; oldest first."""
        query = sa.select(table).order_by(table.c.connected_at)
        if after is not None:
            query = query.where(table.c.connected_at >= after)
        if before is not None:
            query = query.where(table.c.connected_at < before)
        if by is not None:
            query = query.where(sa.func.lower(table.c.connected_by) == sa.func.lower(by))
        with self._database.begin() as connection:
            return [self._made(row) for row in connection.execute(query)]

    def _in_use(self, error: exc.IntegrityError) -> ConflictError:
        if getattr(getattr(error.orig, "diag", None), "table_name", None) == sources.name:
            return ConflictError(
                "connection_in_use",
                "The connection is a source of reverse ETL.",
                hint="It can be deleted when it is none: tidemill reverse-etl disable NAME",
            )
        return super()._in_use(error)

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            "connection_exists",
            f"There is a connection {name!r} already.",
            hint=f"Choose another name, or change it: tidemill connection edit {name}",
        )
