"""Syncs, imports (which are syncs to this installation), source models and destinations by pages, for lists.

How each stands is found in the database, so that lists can be chosen and sorted by it; what else is told of the rows of
a page is asked for all of them at once.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from tidemill.paging import Page, Wanted
from tidemill.store import keyset, sync_states
from tidemill.store.connection_pages import TIDEMILL
from tidemill.store.database import Database
from tidemill.store.keyset import Sorts, called, has, moment, named
from tidemill.store.records_notify import Trouble
from tidemill.store.records_sync import Account, SourceModel, Sync, SyncRun
from tidemill.store.tables import connections
from tidemill.store.tables_notify import troubles
from tidemill.store.tables_sync import destinations, source_models, sync_rejects, sync_runs, sync_totals, syncs

_NAME = named(syncs.c.name)
_OF_BOTH: Mapping[str, keyset.Column] = {
    "name": _NAME,
    "last": sync_states.LAST_BEGAN,
    "next_at": moment(sa.case((syncs.c.paused_at.is_not(None), None), else_=syncs.c.next_at)),
    "made_at": moment(syncs.c.made_at),
}
_SYNCS = Sorts(
    {
        **_OF_BOTH,
        "status": (sync_states.OF_SYNC, str),
        "model": named(source_models.c.name),
        "destination": named(destinations.c.name),
    },
    _NAME,
)
_IMPORTS = Sorts(
    {
        **_OF_BOTH,
        "kind": (sa.func.coalesce(sync_states.KIND, ""), str),
        "connection": named(connections.c.name),
        "status": (sync_states.OF_IMPORT, str),
        "succeeded": (sa.func.coalesce(sync_states.TAKEN, -1), int),
    },
    _NAME,
)
_MODELS = Sorts(
    {
        "name": named(source_models.c.name),
        "connection": named(connections.c.name),
        "made_at": moment(source_models.c.made_at),
        "updated_at": moment(source_models.c.updated_at),
    },
    (source_models.c.id, uuid.UUID),
)
SYNC_SORTS, IMPORT_SORTS, MODEL_SORTS = tuple(_SYNCS.words), tuple(_IMPORTS.words), tuple(_MODELS.words)
ACCOUNT_SORTS = ("name", "title", "made_at")


@dataclasses.dataclass(frozen=True)
class SyncRow:
    """A sync in a list, with what it is made of. `late`: it was due long ago, and nobody has begun it."""

    sync: Sync
    model: str
    model_spec: dict[str, Any]
    connection: str
    destination: str
    kind: str
    late: bool


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which syncs, or, with `imports`, which imports. `search`: it is in the name, or (of a sync) in that of its model
    or destination; `status`: one of these; `kind`, `health`: of an import; `days`: made in so many days before now."""

    imports: bool = False
    search: str | None = None
    model: str | None = None
    destination: str | None = None
    connection: str | None = None
    status: tuple[str, ...] = ()
    kind: str | None = None
    health: str | None = None
    made_by: str | None = None
    made_after: dt.datetime | None = None
    made_before: dt.datetime | None = None
    days: int | None = None


class SyncPages:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def syncs(self, chosen: Chosen, late: dt.timedelta, wanted: Wanted) -> Page[SyncRow]:
        """Syncs to other tools, or imports. `late`: see SyncRow. The rows of a page are read when it is known which
        they are: to put ten thousand in order, little of each is needed."""
        sorts = _IMPORTS if chosen.imports else _SYNCS
        query = _joined(sa.select(syncs.c.id), wanted.sort).where(*_conditions(chosen, late))
        page = keyset.listed(self._database, query, sorts, f"syncs {chosen}", wanted, lambda row: row["id"])
        found = {row.id: _row(dict(row._mapping)) for row in self._rows(_whole(late).where(syncs.c.id.in_(page.items)))}
        return Page(tuple(found[one] for one in page.items if one in found), page.next)

    def models(
        self, search: str | None, connection: str | None, kind: str | None, wanted: Wanted
    ) -> Page[tuple[SourceModel, str]]:
        """Source models, with the names of their connections. `kind`: of what they are made: sql, table, dbt."""
        query = sa.select(source_models, connections.c.name.label("connection_name"))
        query = query.join(connections, connections.c.id == source_models.c.connection_id)
        if search:
            query = query.where(has(search, source_models.c.name))
        if connection is not None:
            query = query.where(called(connection, connections.c.name))
        if kind is not None:
            query = query.where(_made_of() == kind)
        which = f"models {search!r} {connection!r} {kind!r}"
        return keyset.listed(self._database, query, _MODELS, which, wanted, _model)

    def accounts(
        self, search: str | None, kind: str | None, titles: Mapping[str, str], wanted: Wanted
    ) -> Page[Account]:
        """Accounts of other tools. `titles`: of each kind, what it is called; without, they are sorted by the kind."""
        table = destinations.c
        said = [(table.kind == one, title.lower()) for one, title in titles.items()]
        title = sa.case(*said, else_="") if said else table.kind
        words = {"name": named(table.name), "title": (title, str), "made_at": moment(table.made_at)}
        query = sa.select(destinations).where(table.kind != TIDEMILL)
        if search:
            query = query.where(has(search, table.name))
        if kind is not None:
            query = query.where(table.kind == kind)
        sorts = Sorts(words, (table.id, uuid.UUID))
        which = f"destinations {search!r} {kind!r}"
        return keyset.listed(self._database, query, sorts, which, wanted, lambda row: Account(**row))

    # What else is told of the rows of a page

    def last_runs(self, ids: Collection[uuid.UUID], *, telling: bool = False) -> Mapping[uuid.UUID, SyncRun]:
        """The newest run of each of these syncs; `telling`: of those that had something to do."""
        mine = sa.select(sync_runs).where(sync_runs.c.sync_id == syncs.c.id)
        if telling:
            mine = mine.where(sync_runs.c.status != "skipped")
        last = mine.order_by(sync_runs.c.number.desc()).limit(1).lateral("last")
        query = sa.select(last).select_from(syncs).join(last, sa.true()).where(syncs.c.id.in_(list(ids)))
        return {row.sync_id: SyncRun(**row._mapping) for row in self._rows(query)}

    def rejects(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, dict[str, int]]:
        """How many rows of each are not delivered, by status."""
        table, found = sync_rejects.c, defaultdict[uuid.UUID, dict[str, int]](dict)
        query = sa.select(table.sync_id, table.status, sa.func.count().label("number"))
        query = query.where(table.sync_id.in_(list(ids))).group_by(table.sync_id, table.status)
        for row in self._rows(query):
            found[row.sync_id][row.status] = row.number
        return found

    def troubles(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[Trouble]]:
        """What is wrong with each, and lasts, by cause."""
        found = defaultdict[uuid.UUID, list[Trouble]](list)
        query = sa.select(troubles).where(troubles.c.export_id.in_(list(ids)), troubles.c.over_at.is_(None))
        for row in self._rows(query.order_by(troubles.c.cause)):
            found[row.export_id].append(Trouble(**row._mapping))
        return found

    def of_models(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[str]]:
        """Names of the syncs of each of these source models."""
        return self._names_by(syncs.c.model_id, ids)

    def of_projects(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[str]]:
        """Names of the source models that are made of each of these dbt projects."""
        found = defaultdict[uuid.UUID, list[str]](list)
        project = source_models.c.spec["dbt"]["project"].astext
        query = sa.select(project.label("project"), source_models.c.name).where(project.in_([str(one) for one in ids]))
        for row in self._rows(query.order_by(sa.func.lower(source_models.c.name))):
            found[uuid.UUID(row.project)].append(row.name)
        return found

    def of_accounts(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[str]]:
        """Names of the syncs to each of these destinations."""
        return self._names_by(syncs.c.destination_id, ids)

    def _names_by(self, owner: sa.Column[Any], ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[str]]:
        found = defaultdict[uuid.UUID, list[str]](list)
        query = sa.select(owner.label("owner"), syncs.c.name).where(owner.in_(list(ids)))
        for row in self._rows(query.order_by(sa.func.lower(syncs.c.name))):
            found[row.owner].append(row.name)
        return found

    def _rows(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        with self._database.begin() as connection:
            return list(connection.execute(query))


def _whole(late: dt.timedelta) -> sa.Select[Any]:
    """All that is told of syncs."""
    return (
        sa.select(
            syncs,
            source_models.c.name.label("model_name"),
            source_models.c.spec.label("model_spec"),
            connections.c.name.label("connection_name"),
            destinations.c.name.label("destination_name"),
            destinations.c.kind.label("destination_kind"),
            sync_states.is_late(late).label("is_late"),
        )
        .join(source_models, source_models.c.id == syncs.c.model_id)
        .join(connections, connections.c.id == source_models.c.connection_id)
        .join(destinations, destinations.c.id == syncs.c.destination_id)
    )


def _joined(query: sa.Select[Any], sort: str) -> sa.Select[Any]:
    """With the sums over its runs, and with what it is sorted by, if that is of something else than the sync."""
    query = query.select_from(syncs).outerjoin(sync_totals, sync_totals.c.sync_id == syncs.c.id)
    match sort.removeprefix("-"):
        case "model":
            return query.join(source_models, source_models.c.id == syncs.c.model_id)
        case "destination":
            return query.join(destinations, destinations.c.id == syncs.c.destination_id)
        case "connection":
            query = query.join(source_models, source_models.c.id == syncs.c.model_id)
            return query.join(connections, connections.c.id == source_models.c.connection_id)
    return query


def _of_models(*which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Whether it delivers a source model that is so."""
    return syncs.c.model_id.in_(sa.select(source_models.c.id).where(*which))


def _to_destinations(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Whether it delivers to a destination that is so."""
    return syncs.c.destination_id.in_(sa.select(destinations.c.id).where(which))


def _has(text: str) -> sa.ColumnElement[bool]:
    """Whether a sync has that in its name, or its model, or its destination."""
    others = (_of_models(has(text, source_models.c.name)), _to_destinations(has(text, destinations.c.name)))
    return sa.or_(has(text, syncs.c.name), *others)


def _conditions(chosen: Chosen, late: dt.timedelta) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [sync_states.IS_IMPORT if chosen.imports else ~sync_states.IS_IMPORT]
    if chosen.search:
        found.append(has(chosen.search, syncs.c.name) if chosen.imports else _has(chosen.search))
    found += _connected(chosen)
    if chosen.status:
        found.append(sync_states.is_one(chosen.status, late, imports=chosen.imports))
    if chosen.kind is not None:
        found.append(sync_states.is_of(chosen.kind))
    if chosen.health is not None:
        found.append(sync_states.is_healthy(chosen.health))
    return [*found, *_made(chosen)]


def _connected(chosen: Chosen) -> Iterator[sa.ColumnElement[bool]]:
    """By what they are made of."""
    if chosen.model is not None:
        yield _of_models(called(chosen.model, source_models.c.name))
    if chosen.destination is not None:
        yield _to_destinations(called(chosen.destination, destinations.c.name))
    if chosen.connection is not None:
        its = sa.select(connections.c.id).where(called(chosen.connection, connections.c.name))
        yield _of_models(source_models.c.connection_id.in_(its))


def _made(chosen: Chosen) -> Iterator[sa.ColumnElement[bool]]:
    """By whom and when they were made."""
    made = syncs.c.made_at
    if chosen.made_by is not None:
        yield syncs.c.made_by == chosen.made_by
    if chosen.made_after is not None:
        yield made >= chosen.made_after
    if chosen.made_before is not None:
        yield made < chosen.made_before
    if chosen.days is not None:
        yield made >= sa.func.now() - dt.timedelta(days=chosen.days)


def _made_of() -> sa.ColumnElement[str]:
    """Of what a source model is made."""
    spec = source_models.c.spec
    return sa.case((keyset.holds(spec["dbt"]), "dbt"), (spec["table"].astext.is_not(None), "table"), else_="sql")


def _row(row: Mapping[str, Any]) -> SyncRow:
    sync = Sync(**{field.name: row[field.name] for field in dataclasses.fields(Sync)})
    of_model = (row["model_name"], row["model_spec"], row["connection_name"])
    return SyncRow(sync, *of_model, row["destination_name"], row["destination_kind"], row["is_late"])


def _model(row: Mapping[str, Any]) -> tuple[SourceModel, str]:
    fields = dict(row)
    connection = str(fields.pop("connection_name"))
    return SourceModel(**fields), connection
