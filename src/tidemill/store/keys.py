"""Keys by which SDKs send events."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store.database import Database
from tidemill.store.records import Key
from tidemill.store.tables import keys as table

_GOOD = table.c.revoked_at.is_(None)


class Keys:
    """The repository of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, **fields: Any) -> Key:
        """Save a new one.

        Raises
        ------
        ConflictError
            A key that is not revoked has the name.
        """
        statement = sa.insert(table).values(id=uuid.uuid4(), **fields).returning(*table.c)
        try:
            with self._database.begin() as connection:
                return Key(**connection.execute(statement).one()._mapping)
        except exc.IntegrityError:
            raise ConflictError(
                "key_exists",
                f"There is a key {fields['name']!r} already.",
                hint=f"Choose another --name; or revoke that one: tidemill key revoke {fields['name']}",
            ) from None

    def find(self, *, revoked: bool = False) -> list[Key]:
        """All keys in the order in which they were made; with `revoked`, those too that are revoked."""
        query = sa.select(table).order_by(table.c.created_at, table.c.id)
        with self._database.begin() as connection:
            return [Key(**row._mapping) for row in connection.execute(query if revoked else query.where(_GOOD))]

    def by_hash(self, digest: bytes) -> Key | None:
        """The key with this hash, unless it is revoked."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.hash == digest, _GOOD)).first()
        return Key(**row._mapping) if row else None

    def revoked(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Those of these keys that are revoked, or gone."""
        with self._database.begin() as connection:
            good: Sequence[uuid.UUID] = connection.scalars(
                sa.select(table.c.id).where(table.c.id.in_(list(ids)), _GOOD)
            ).all()
        return set(ids).difference(good)

    def revoke(self, name: str) -> Key:
        """Revoke the key of that name, whatever its case.

        Raises
        ------
        NotFoundError
            With the names that there are.
        """
        wanted = sa.func.lower(table.c.name) == sa.func.lower(name)
        change = sa.update(table).where(wanted, _GOOD).values(revoked_at=sa.func.now())
        with self._database.begin() as connection:
            row = connection.execute(change.returning(*table.c)).first()
            if row is not None:
                return Key(**row._mapping)
            names: list[str] = list(connection.scalars(sa.select(table.c.name).where(_GOOD).order_by(table.c.name)))
        known = f"Keys: {', '.join(names)}." if names else "Make one: tidemill key create --team 1"
        raise NotFoundError("key_unknown", f"There is no key {name!r} that is not revoked.", hint=known)
