"""Keys by which SDKs send events."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from tidemill.store.keyset import Column
from tidemill.store.records import Key
from tidemill.store.revocable import Revocable
from tidemill.store.tables import keys


class Keys(Revocable[Key]):
    """The repository of keys."""

    table, record, what, example = keys, Key, "key", "tidemill key create --team 1"

    def revoked(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Those of these keys that are revoked, or gone."""
        with self._database.begin() as connection:
            good: Sequence[uuid.UUID] = connection.scalars(
                sa.select(keys.c.id).where(keys.c.id.in_(list(ids)), self._good)
            ).all()
        return set(ids).difference(good)

    def _own_sorts(self) -> dict[str, Column]:
        return {"team_id": (self.table.c.team_id, int)}
