"""dbt projects, as they are saved."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import sqlalchemy as sa

from tidemill.store.named import Named
from tidemill.store.tables_dbt import dbt_projects


@dataclasses.dataclass(frozen=True)
class DbtProject:
    """A dbt project. `manifest`, `catalog`: packed; `next_at`: when it is read anew."""

    id: uuid.UUID
    name: str
    connection_id: uuid.UUID | None
    spec: dict[str, Any]
    secret: bytes | None = dataclasses.field(repr=False)
    manifest: bytes = dataclasses.field(repr=False)
    catalog: bytes | None = dataclasses.field(repr=False)
    revision: str
    read_at: dt.datetime
    next_at: dt.datetime | None
    error: dict[str, str] | None
    made_at: dt.datetime
    made_by: str
    updated_at: dt.datetime


class DbtProjects(Named[DbtProject]):
    """The repository of dbt projects."""

    table, record, what, command = dbt_projects, DbtProject, "dbt project", "dbt"

    def of_connection(self, connection_id: uuid.UUID) -> list[str]:
        """Names of those whose models a connection reads."""
        query = sa.select(self.table.c.name).where(self.table.c.connection_id == connection_id)
        with self._database.begin() as connection:
            return list(connection.scalars(query.order_by(sa.func.lower(self.table.c.name))))

    def connections(self) -> list[uuid.UUID]:
        """The connection of each that has one. Manifests, which are large, are not read for that."""
        query = sa.select(self.table.c.connection_id).where(self.table.c.connection_id.is_not(None))
        with self._database.begin() as connection:
            return list(connection.scalars(query))

    def any_due(self) -> bool:
        """Whether there is one to be read anew."""
        with self._database.begin() as connection:
            query = sa.select(sa.exists(sa.select(self.table.c.id).where(self.table.c.next_at <= sa.func.now())))
            return bool(connection.scalar(query))

    def take_due(self) -> DbtProject | None:
        """One that is to be read anew, for whoever asks first: it is due again after its pause, whatever comes."""
        pause = sa.func.make_interval(0, 0, 0, 0, 0, self.table.c.spec["refresh"].as_integer())
        which = sa.select(self.table.c.id).where(self.table.c.next_at <= sa.func.now()).order_by(self.table.c.next_at)
        which = which.limit(1).with_for_update(skip_locked=True)
        change = sa.update(self.table).where(self.table.c.id == which.scalar_subquery())
        with self._database.begin() as connection:
            row = connection.execute(change.values(next_at=sa.func.now() + pause).returning(*self.table.c)).first()
        return self._made(row) if row else None
