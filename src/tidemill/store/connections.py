"""Saved connections."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store.database import Database
from tidemill.store.records import Connection
from tidemill.store.tables import connections as table
from tidemill.store.tables_sync import sources


class Connections:
    """The repository of connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, **fields: Any) -> Connection:
        """Save a new one.

        Raises
        ------
        ConflictError
            If the name is taken.
        """
        values = {"id": uuid.uuid4(), **fields}
        return self._write(sa.insert(table).values(values).returning(*table.c), fields["name"])

    def change(self, connection_id: uuid.UUID, **fields: Any) -> Connection:
        """Change fields of one. Raises as `add`, and NotFoundError if it is gone."""
        change = sa.update(table).where(table.c.id == connection_id).values(updated_at=sa.func.now(), **fields)
        return self._write(change.returning(*table.c), str(fields.get("name", "")))

    def _write(self, statement: Any, name: str) -> Connection:
        try:
            with self._database.begin() as connection:
                row = connection.execute(statement).first()
        except exc.IntegrityError:
            raise _taken(name) from None
        return _found(row)

    def assert_free(self, name: str) -> None:
        """Raise ConflictError, as `add` does, if the name is taken."""
        with self._database.begin() as connection:
            if connection.execute(
                sa.select(table.c.id).where(sa.func.lower(table.c.name) == sa.func.lower(name))
            ).first():
                raise _taken(name)

    def get(self, name: str) -> Connection:
        """The one of that name, whatever its case.

        Raises
        ------
        NotFoundError
            With the names that there are.
        """
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(sa.func.lower(table.c.name) == sa.func.lower(name))).first()
            if row is not None:
                return Connection(**row._mapping)
            names: list[str] = list(connection.scalars(sa.select(table.c.name).order_by(table.c.name)))
        known = f"Connections: {', '.join(names)}." if names else "Make one: tidemill connection add --help"
        raise NotFoundError("connection_unknown", f"There is no connection {name!r}.", hint=known)

    def by_id(self, connection_id: uuid.UUID) -> Connection:
        """The one with that id; NotFoundError if it was deleted."""
        with self._database.begin() as connection:
            return _found(connection.execute(sa.select(table).where(table.c.id == connection_id)).first())

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
            return [Connection(**row._mapping) for row in connection.execute(query)]

    def delete(self, connection_id: uuid.UUID) -> None:
        """Delete one and its credential.

        Raises
        ------
        ConflictError
            If an export uses it, or it is a source of reverse ETL.
        """
        try:
            with self._database.begin() as connection:
                connection.execute(sa.delete(table).where(table.c.id == connection_id))
        except exc.IntegrityError as error:
            if getattr(getattr(error.orig, "diag", None), "table_name", None) == sources.name:
                raise ConflictError(
                    "connection_in_use",
                    "The connection is a source of reverse ETL.",
                    hint="It can be deleted when it is none: tidemill reverse-etl disable NAME",
                ) from None
            raise ConflictError(
                "connection_in_use",
                "The connection is used by exports.",
                hint="Delete them first: tidemill export list, tidemill export delete NAME",
            ) from None


def _found(row: Any) -> Connection:
    if row is None:
        raise NotFoundError("connection_unknown", "The connection was deleted.", hint="tidemill connection list")
    return Connection(**row._mapping)


def _taken(name: str) -> ConflictError:
    return ConflictError(
        "connection_exists",
        f"There is a connection {name!r} already.",
        hint=f"Choose another name, or change it: tidemill connection edit {name}",
    )
