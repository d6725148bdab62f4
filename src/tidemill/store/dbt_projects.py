"""dbt projects, as they are saved."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.keyset import Sorts, called, has, holds, moment, named
from tidemill.store.named import Named
from tidemill.store.tables import connections
from tidemill.store.tables_dbt import dbt_projects

_LARGE = frozenset({"manifest", "catalog"})
_SORTS = Sorts(
    {
        "name": named(dbt_projects.c.name),
        "models": (sa.func.coalesce(dbt_projects.c.summary["models"].as_integer(), -1), int),
        "read_at": moment(dbt_projects.c.read_at),
        "made_at": moment(dbt_projects.c.made_at),
    },
    (dbt_projects.c.id, uuid.UUID),
)
PROJECT_SORTS = tuple(_SORTS.words)


@dataclasses.dataclass(frozen=True)
class DbtProject:
    """A dbt project. `manifest`, `catalog`: packed; `summary`: of them: project, dbt_version, models (how many); None:
    it is not known yet; `next_at`: when it is read anew."""

    id: uuid.UUID
    name: str
    connection_id: uuid.UUID | None
    spec: dict[str, Any]
    secret: bytes | None = dataclasses.field(repr=False)
    manifest: bytes = dataclasses.field(repr=False)
    catalog: bytes | None = dataclasses.field(repr=False)
    summary: dict[str, Any] | None
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

    def page(
        self, search: str | None, connection: str | None, failing: bool | None, wanted: Wanted
    ) -> Page[tuple[DbtProject, str | None]]:
        """Projects by pages, by one of PROJECT_SORTS, each with the name of its connection; without their manifests,
        which are large. `search`: in the name; `failing`: it could not be read the last time."""
        own = (column for column in self.table.c if column.name not in _LARGE)
        query = sa.select(*own, connections.c.name.label("connection_name"))
        query = query.outerjoin(connections, connections.c.id == self.table.c.connection_id)
        if search:
            query = query.where(has(search, self.table.c.name))
        if connection is not None:
            query = query.where(called(connection, connections.c.name))
        if failing is not None:
            query = query.where(holds(self.table.c.error) if failing else ~holds(self.table.c.error))
        which = f"dbt projects {search!r} {connection!r} {failing!r}"
        return keyset.listed(self._database, query, _SORTS, which, wanted, _small)

    def without_summary(self) -> list[DbtProject]:
        """Those that a program of before has kept."""
        with self._database.begin() as connection:
            found = connection.execute(sa.select(self.table).where(~holds(self.table.c.summary)))
            return [self._made(row) for row in found]

    def summarize(self, project: DbtProject, summary: dict[str, Any]) -> None:
        """Keep that of a project, unless it was read anew meanwhile."""
        mine = (self.table.c.id == project.id, self.table.c.read_at == project.read_at)
        with self._database.begin() as connection:
            connection.execute(sa.update(self.table).where(*mine).values(summary=summary))

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


def _small(row: Mapping[str, Any]) -> tuple[DbtProject, str | None]:
    """A project without what is large of it, and the name of its connection."""
    fields = dict(row)
    connection = fields.pop("connection_name")
    return DbtProject(**fields, manifest=b"", catalog=None), connection
