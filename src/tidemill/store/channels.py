"""Channels by which people are told."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store.database import Database
from tidemill.store.records_notify import Channel
from tidemill.store.tables_notify import channels as table


class Channels:
    """The repository of channels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, **fields: Any) -> Channel:
        """Save a new one.

        Raises
        ------
        ConflictError
            The name is taken.
        """
        statement = sa.insert(table).values(id=uuid.uuid4(), **fields).returning(*table.c)
        return self._write(statement, fields["name"])

    def change(self, channel_id: uuid.UUID, **fields: Any) -> Channel:
        """Change fields of one. Raises as `add`, and NotFoundError if it is gone."""
        statement = sa.update(table).where(table.c.id == channel_id).values(**fields).returning(*table.c)
        return self._write(statement, str(fields.get("name", "")))

    def _write(self, statement: Any, name: str) -> Channel:
        try:
            with self._database.begin() as connection:
                row = connection.execute(statement).first()
        except exc.IntegrityError:
            raise _taken(name) from None
        if row is None:
            raise NotFoundError("channel_unknown", "The channel was removed.", hint="tidemill notify list")
        return Channel(**row._mapping)

    def assert_free(self, name: str) -> None:
        """Raise ConflictError, as `add` does, if the name is taken."""
        with self._database.begin() as connection:
            if connection.execute(sa.select(table.c.id).where(_named(name))).first():
                raise _taken(name)

    def get(self, name: str) -> Channel:
        """The one of that name, whatever its case.

        Raises
        ------
        NotFoundError
            With the names that there are.
        """
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(_named(name))).first()
            if row is not None:
                return Channel(**row._mapping)
            names: list[str] = list(connection.scalars(sa.select(table.c.name).order_by(table.c.name)))
        known = f"Channels: {', '.join(names)}." if names else "Make one: tidemill notify add --help"
        raise NotFoundError("channel_unknown", f"There is no channel {name!r}.", hint=known)

    def find(self) -> list[Channel]:
        """All, by name."""
        with self._database.begin() as connection:
            found = connection.execute(sa.select(table).order_by(sa.func.lower(table.c.name)))
            return [Channel(**row._mapping) for row in found]

    def any(self) -> bool:
        """Whether there is one."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(table.c.id)))))

    def remove(self, channel_id: uuid.UUID) -> None:
        """Remove one, with its secret and its messages."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.id == channel_id))


def _named(name: str) -> sa.ColumnElement[bool]:
    return sa.func.lower(table.c.name) == sa.func.lower(name)


def _taken(name: str) -> ConflictError:
    return ConflictError(
        "channel_exists",
        f"There is a channel {name!r} already.",
        hint=f"Choose another name, or change it: tidemill notify edit {name}",
    )
