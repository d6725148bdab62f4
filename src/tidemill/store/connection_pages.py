"""Connections by pages, and how many of each kind of things use them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.connection_uses import EXPORT, IMPORT, STREAM, SYNC, TIDEMILL, ConnectionUses
from tidemill.store.database import Database
from tidemill.store.keyset import Sorts, called, has, moment, named
from tidemill.store.records import Connection
from tidemill.store.tables import connections, exports
from tidemill.store.tables_dbt import dbt_projects
from tidemill.store.tables_sync import destinations, source_models, syncs

__all__ = ["EXPORT", "IMPORT", "MODEL", "PROJECT", "SORTS", "STREAM", "SYNC", "TIDEMILL", "Chosen", "ConnectionPages"]

#: Kinds of what uses connections, besides those of what runs.
MODEL, PROJECT = "model", "dbt project"
_SORTS = Sorts(
    {
        "connected_at": moment(connections.c.connected_at),
        "name": named(connections.c.name),
        "connected_by": named(connections.c.connected_by),
    },
    (connections.c.id, uuid.UUID),
    own="connected_at",
)
SORTS = tuple(_SORTS.words)


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which connections: with that in the name; made in that time, by that user, used by such a thing: export (streams
    with them), sync, import; or by nothing."""

    after: dt.datetime | None = None
    before: dt.datetime | None = None
    by: str | None = None
    used_by: str | None = None
    search: str | None = None


class ConnectionPages:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: What became of what used them.
        self.uses = ConnectionUses(database)

    def find(self, chosen: Chosen, wanted: Wanted) -> Page[Connection]:
        """Connections by pages, by one of SORTS."""
        query = sa.select(connections)
        if chosen.search:
            query = query.where(has(chosen.search, connections.c.name))
        if chosen.after is not None:
            query = query.where(connections.c.connected_at >= chosen.after)
        if chosen.before is not None:
            query = query.where(connections.c.connected_at < chosen.before)
        if chosen.by is not None:
            query = query.where(called(chosen.by, connections.c.connected_by))
        if chosen.used_by is not None:
            query = query.where(_is_used(chosen.used_by))
        which = f"connections {chosen}"
        return keyset.listed(self._database, query, _SORTS, which, wanted, lambda row: Connection(**row))

    def counts(self, owners: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Counter[str]]:
        """How many of each kind use each of these connections."""
        found: dict[uuid.UUID, Counter[str]] = {owner: Counter() for owner in owners}
        with self._database.begin() as connection:
            for query in _counted(owners):
                rows: list[Any] = list(connection.execute(query))
                for owner, kind, number in rows:
                    found[owner][kind] += number
        return found


def _counted(owners: Collection[uuid.UUID]) -> list[Any]:
    """Queries of owner, kind and number."""
    streams = sa.case((exports.c.spec["mode"].astext == "stream", STREAM), else_=EXPORT)
    imports = sa.case((destinations.c.kind == TIDEMILL, IMPORT), else_=SYNC)
    owner, number = source_models.c.connection_id, sa.func.count()
    synced = sa.select(owner, imports, number).join(syncs, syncs.c.model_id == source_models.c.id)
    synced = synced.join(destinations, destinations.c.id == syncs.c.destination_id)
    them = list(owners)
    return [
        sa.select(exports.c.connection_id, streams, number)
        .where(exports.c.connection_id.in_(them))
        .group_by(sa.text("1, 2")),
        synced.where(owner.in_(them)).group_by(sa.text("1, 2")),
        sa.select(owner, sa.literal(MODEL), number).where(owner.in_(them)).group_by(owner),
        sa.select(dbt_projects.c.connection_id, sa.literal(PROJECT), number)
        .where(dbt_projects.c.connection_id.in_(them))
        .group_by(dbt_projects.c.connection_id),
    ]


def _is_used(kind: str) -> sa.ColumnElement[bool]:
    own = connections.c.id
    exported = sa.exists().where(exports.c.connection_id == own)
    modelled = sa.exists().where(source_models.c.connection_id == own)
    if kind == EXPORT:
        return exported
    if kind in {SYNC, IMPORT}:
        to = destinations.c.kind == TIDEMILL if kind == IMPORT else destinations.c.kind != TIDEMILL
        joined = (syncs.c.model_id == source_models.c.id, destinations.c.id == syncs.c.destination_id, to)
        return sa.exists().where(source_models.c.connection_id == own, *joined)
    return ~exported & ~modelled & ~sa.exists().where(dbt_projects.c.connection_id == own)
