"""Saved connections."""

from __future__ import annotations

import datetime as dt
import shlex
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError
from tidemill.store.connection_tests import ConnectionTests
from tidemill.store.database import Database
from tidemill.store.named import Named
from tidemill.store.records import Connection
from tidemill.store.tables import connections as table
from tidemill.store.tables import exports
from tidemill.store.tables_dbt import dbt_projects
from tidemill.store.tables_sync import source_models, sources, syncs

#: The code of the error that says that nothing new may be begun on a connection.
DELETING = "connection_deleting"


class Connections(Named[Connection]):
    """The repository of connections."""

    table, record, what, command = table, Connection, "connection", "connection"
    held = ("exports", "tidemill export list, tidemill export delete NAME")

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        #: The last test of each.
        self.tests = ConnectionTests(database)

    def turn(self, connection_id: uuid.UUID, *, as_of: dt.datetime | None = None, **fields: Any) -> Connection:
        """Change as what one signs in, or where it points: what was seen of it before says nothing of it any more.
        Raises as `change`."""
        return self.change(connection_id, as_of=as_of, changed_at=sa.func.clock_timestamp(), **fields)

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

    def usable(self, name: str) -> Connection:
        """The one of that name, for who makes something new of it.

        Raises
        ------
        NotFoundError
            There is none.
        ConflictError
            It is being deleted.
        """
        found = self.get(name)
        if found.deleting_at is not None:
            raise deleting(found.name)
        return found

    def mark(self, connection_id: uuid.UUID, by: str) -> Connection:
        """It is being deleted from now on: nothing new is begun on it. Who is about to begin something has done so when
        this comes back, or does not. Of one that is marked already the mark stays."""
        with self._database.begin() as connection:
            change = sa.update(table).where(table.c.id == connection_id, table.c.deleting_at.is_(None))
            connection.execute(change.values(deleting_at=sa.func.now(), deleting_by=by))
        return self.by_id(connection_id)

    def _in_use(self, error: exc.IntegrityError) -> ConflictError:
        if getattr(getattr(error.orig, "diag", None), "table_name", None) == sources.name:
            return ConflictError(
                "connection_in_use",
                "The connection is a source of reverse ETL.",
                hint="It can be deleted when it is none: tidemill reverse-etl disable NAME",
            )
        if getattr(getattr(error.orig, "diag", None), "table_name", None) == dbt_projects.name:
            return ConflictError(
                "connection_in_use",
                "A dbt project is read by the connection.",
                hint="Delete it first: tidemill dbt list, tidemill dbt delete NAME",
            )
        return super()._in_use(error)

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            "connection_exists",
            f"There is a connection {name!r} already.",
            hint=f"Choose another name, or change it: tidemill connection edit {name}",
        )


def deleting(name: str) -> ConflictError:
    """That nothing new may be begun on a connection."""
    return ConflictError(
        DELETING,
        f"The connection {name} is being deleted: nothing new is begun on it.",
        hint=f"Go on with that, if it was broken off: tidemill connection delete {shlex.quote(name)}",
    )


def of_export(export_id: Any) -> sa.ScalarSelect[uuid.UUID]:
    """The id of the connection of an export."""
    return sa.select(exports.c.connection_id).where(exports.c.id == export_id).scalar_subquery()


def of_sync(sync_id: Any) -> sa.ScalarSelect[uuid.UUID]:
    """The id of the connection that the rows of a sync come from."""
    query = sa.select(source_models.c.connection_id).join(syncs, syncs.c.model_id == source_models.c.id)
    return query.where(syncs.c.id == sync_id).scalar_subquery()


def assert_kept(connection: sa.Connection, which: sa.ScalarSelect[uuid.UUID]) -> None:
    """Within a transaction that begins something: raise ConflictError if the connection is being deleted. Who wants to
    mark it as such waits until the transaction ends, and sees what was begun."""
    query = sa.select(table.c.name, table.c.deleting_at).where(table.c.id == which)
    row = connection.execute(query.with_for_update(read=True)).first()
    if row is not None and row.deleting_at is not None:
        raise deleting(row.name)


def is_marked(connection: sa.Connection, which: sa.ScalarSelect[uuid.UUID]) -> bool:
    """Whether the connection is being deleted."""
    query = sa.select(table.c.deleting_at.is_not(None)).where(table.c.id == which)
    return bool(connection.scalar(query))
