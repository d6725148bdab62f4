"""What lets somebody in, by its hash, until it is revoked: what the repositories of keys and tokens have in common."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Column, Sorts, has, moment, named

Record = TypeVar("Record")


class Revocable(Generic[Record]):
    """The repository of such things. `table` has the columns id, name, hash, created_at and revoked_at; `record` is
    made of a row; `what` they are called, as is the group of commands about them; `example` makes one."""

    table: ClassVar[sa.Table]
    record: ClassVar[type[Any]]
    what: ClassVar[str]
    example: ClassVar[str]

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, **fields: Any) -> Record:
        """Save a new one.

        Raises
        ------
        ConflictError
            One that is not revoked has the name.
        """
        statement = sa.insert(self.table).values(id=uuid.uuid4(), **fields).returning(*self.table.c)
        try:
            with self._database.begin() as connection:
                return self._made(connection.execute(statement).one())
        except exc.IntegrityError:
            raise ConflictError(
                f"{self.what}_exists",
                f"There is a {self.what} {fields['name']!r} already.",
                hint=f"Choose another name; or revoke that one: tidemill {self.what} revoke {fields['name']}",
            ) from None

    def find(self, *, revoked: bool = False) -> list[Record]:
        """All in the order in which they were made; with `revoked`, those too that are revoked."""
        query = sa.select(self.table).order_by(self.table.c.created_at, self.table.c.id)
        with self._database.begin() as connection:
            found = connection.execute(query if revoked else query.where(self._good))
            return [self._made(row) for row in found]

    def page(
        self, *, search: str | None = None, state: str | None = None, revoked: bool = False, wanted: Wanted
    ) -> Page[Record]:
        """The same by pages, by one of the table's sorts. `search`: in the name; `state`: valid, expired or revoked,
        whatever `revoked` is."""
        query = sa.select(self.table)
        if state is not None:
            query = query.where(self._state() == state)
        elif not revoked:
            query = query.where(self._good)
        if search:
            query = query.where(has(search, self.table.c.name))
        sorts = Sorts({**self._shared_sorts(), **self._own_sorts()}, (self.table.c.id, uuid.UUID))
        which = f"{self.what} {search!r} {state!r} {revoked!r}"
        return keyset.listed(self._database, query, sorts, which, wanted, lambda row: self.record(**row))

    def _shared_sorts(self) -> dict[str, Column]:
        columns = self.table.c
        made = moment(columns.created_at)
        return {"name": named(columns.name), "created_at": made, "created_by": named(columns.created_by)}

    def _own_sorts(self) -> dict[str, Column]:
        """By what else they can be sorted."""
        return {}

    def _state(self) -> sa.ColumnElement[str]:
        """How one is."""
        return sa.case((self.table.c.revoked_at.is_not(None), "revoked"), else_="valid")

    def by_hash(self, digest: bytes) -> Record | None:
        """The one with this hash, unless it is revoked."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(self.table).where(self.table.c.hash == digest, self._good)).first()
        return self._made(row) if row else None

    def revoke(self, name: str) -> Record:
        """Revoke the one of that name, whatever its case.

        Raises
        ------
        NotFoundError
            With the names that there are.
        """
        wanted = sa.func.lower(self.table.c.name) == sa.func.lower(name)
        change = sa.update(self.table).where(wanted, self._good).values(revoked_at=sa.func.now())
        with self._database.begin() as connection:
            row = connection.execute(change.returning(*self.table.c)).first()
            if row is not None:
                return self._made(row)
            query = sa.select(self.table.c.name).where(self._good).order_by(self.table.c.name)
            names: list[str] = list(connection.scalars(query))
        known = f"{self.what.capitalize()}s: {', '.join(names)}." if names else f"Make one: {self.example}"
        raise NotFoundError(
            f"{self.what}_unknown", f"There is no {self.what} {name!r} that is not revoked.", hint=known
        )

    @property
    def _good(self) -> sa.ColumnElement[bool]:
        return self.table.c.revoked_at.is_(None)

    def _made(self, row: Any) -> Record:
        made: Record = self.record(**row._mapping)
        return made
