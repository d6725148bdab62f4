"""Things with a unique name, whatever its case: what their repositories have in common."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError, TidemillError
from tidemill.store.database import Database

Record = TypeVar("Record")
#: The code of the error that says that a thing is not as it was seen any more.
CHANGED = "changed_meanwhile"


class Named(Generic[Record]):
    """The repository of such things. `table` has the columns id and name; `record` is made of a row; `what` they are
    called, `command` the group of commands about them, `makes` the one of these that makes one; `gone`: what has become
    of one that was deleted."""

    table: ClassVar[sa.Table]
    record: ClassVar[type[Any]]
    what: ClassVar[str]
    command: ClassVar[str]
    makes: ClassVar[str] = "add"
    gone: ClassVar[str] = "deleted"
    #: What may hold one that is to be deleted, and how that is seen.
    held: ClassVar[tuple[str, str]] = ("something", "")

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, **fields: Any) -> Record:
        """Save a new one.

        Raises
        ------
        ConflictError
            The name is taken.
        """
        values = {"id": uuid.uuid4(), **fields}
        return self._written(sa.insert(self.table).values(values).returning(*self.table.c), fields["name"])

    def change(self, thing_id: uuid.UUID, *, as_of: dt.datetime | None = None, **fields: Any) -> Record:
        """Change fields of one. Raises as `add`, and NotFoundError if it is gone. `as_of`: its `updated_at` as whoever
        wants that has seen it; ConflictError if it was changed since."""
        if "updated_at" in self.table.c:
            fields.setdefault("updated_at", sa.func.clock_timestamp())
        change = sa.update(self.table).where(self.table.c.id == thing_id, *self._unchanged(as_of)).values(**fields)
        try:
            return self._written(change.returning(*self.table.c), str(fields.get("name", "")))
        except NotFoundError:
            if as_of is None:
                raise
            self.by_id(thing_id)
            raise changed_since(self.what) from None

    def _unchanged(self, as_of: dt.datetime | None) -> list[sa.ColumnElement[bool]]:
        return [self.table.c.updated_at == as_of] if as_of is not None else []

    def _written(self, statement: Any, name: str) -> Record:
        try:
            with self._database.begin() as connection:
                row = connection.execute(statement).first()
        except exc.IntegrityError as error:
            raise self._refused(error, name) from None
        return self._found(row)

    def assert_free(self, name: str) -> None:
        """Raise ConflictError, as `add` does, if the name is taken."""
        with self._database.begin() as connection:
            if connection.execute(sa.select(self.table.c.id).where(self._named(name))).first():
                raise self._taken(name)

    def get(self, name: str) -> Record:
        """The one of that name, whatever its case.

        Raises
        ------
        NotFoundError
            With the names that there are.
        """
        with self._database.begin() as connection:
            row = connection.execute(sa.select(self.table).where(self._named(name))).first()
            if row is not None:
                return self._made(row)
            names: list[str] = list(connection.scalars(sa.select(self.table.c.name).order_by(self.table.c.name)))
        title = f"{self.what.capitalize()}s"
        known = f"{title}: {', '.join(names)}." if names else f"Make one: tidemill {self.command} {self.makes} --help"
        raise NotFoundError(f"{self._code}_unknown", f"There is no {self.what} {name!r}.", hint=known)

    def by_id(self, thing_id: uuid.UUID) -> Record:
        """The one with that id; NotFoundError if it was deleted."""
        with self._database.begin() as connection:
            return self._found(connection.execute(sa.select(self.table).where(self.table.c.id == thing_id)).first())

    def find(self) -> list[Record]:
        """All, by name."""
        with self._database.begin() as connection:
            found = connection.execute(sa.select(self.table).order_by(sa.func.lower(self.table.c.name)))
            return [self._made(row) for row in found]

    def names(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, str]:
        """Names of these, as far as they are there."""
        query = sa.select(self.table.c.id, self.table.c.name).where(self.table.c.id.in_(list(ids)))
        with self._database.begin() as connection:
            return {row.id: row.name for row in connection.execute(query)}

    def delete(self, thing_id: uuid.UUID, *, as_of: dt.datetime | None = None) -> None:
        """Delete one.

        Raises
        ------
        NotFoundError
            Somebody else has deleted it.
        ConflictError
            It is used; or it was changed since `as_of`, as in `change`.
        """
        gone = sa.delete(self.table).where(self.table.c.id == thing_id, *self._unchanged(as_of))
        try:
            with self._database.begin() as connection:
                done = connection.execute(gone).rowcount
        except exc.IntegrityError as error:
            raise self._in_use(error) from None
        if not done:
            self.by_id(thing_id)
            raise changed_since(self.what)

    @property
    def _code(self) -> str:
        return self.what.replace(" ", "_")

    def _named(self, name: str) -> sa.ColumnElement[bool]:
        return sa.func.lower(self.table.c.name) == sa.func.lower(name)

    def _made(self, row: Any) -> Record:
        made: Record = self.record(**row._mapping)
        return made

    def _found(self, row: Any) -> Record:
        if row is None:
            raise NotFoundError(
                f"{self._code}_unknown", f"The {self.what} was {self.gone}.", hint=f"tidemill {self.command} list"
            )
        return self._made(row)

    def _refused(self, error: exc.IntegrityError, name: str) -> TidemillError:  # noqa: ARG002 - of those with more keys
        """Why the database does not take one of that name."""
        return self._taken(name)

    def _in_use(self, error: exc.IntegrityError) -> ConflictError:  # noqa: ARG002 - of those that are held by several
        """Why the database does not delete one."""
        by, look = self.held
        return ConflictError(
            f"{self._code}_in_use", f"The {self.what} is used by {by}.", hint=f"Delete them first: {look}"
        )

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            f"{self._code}_exists", f"There is a {self.what} {name!r} already.", hint="Choose another name."
        )


def changed_since(what: str) -> ConflictError:
    """That somebody has changed a thing since it was looked at by who wants to change it now."""
    return ConflictError(
        CHANGED, f"The {what} was changed since you looked at it.", hint="Look at it again, and decide anew."
    )
