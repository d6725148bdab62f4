"""Jobs by pages: runs of exports, of syncs and of imports, as one list by time. Each page takes as long with a million
runs as with ten."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tidemill import paging
from tidemill.paging import Page, Wanted
from tidemill.store import keyset, sync_states
from tidemill.store.database import Database
from tidemill.store.keyset import Order, has
from tidemill.store.tables import exports, runs
from tidemill.store.tables_sync import sync_runs, syncs

EXPORT, SYNC, IMPORT = "export", "sync", "import"
KINDS = (EXPORT, SYNC, IMPORT)
STATUSES = ("running", "completed", "skipped", "failed", "cancelled")
SORTS = ("began_at",)
#: If fewer things are wanted than this, their runs are found by their ids; else by time, where they are soon met.
_FEW = 1_000
_Part = tuple[sa.Select[Any], Order]


@dataclasses.dataclass(frozen=True)
class JobRow:
    """A run. `name`: of what was run; `rows`: that were written, None of exports: chunks say that."""

    kind: str
    name: str
    id: uuid.UUID
    number: int
    status: str
    began_at: dt.datetime
    finished_at: dt.datetime | None
    rows: int | None
    rejected: int | None
    bytes_billed: int
    message: str | None


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which jobs: of one of KINDS, of one of STATUSES, of what has that in its name."""

    kind: str | None = None
    status: str | None = None
    search: str | None = None


class JobPages:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, chosen: Chosen, wanted: Wanted) -> Page[JobRow]:
        """Jobs, newest first, or as it is wanted."""
        _, down = paging.sorted_by(wanted.sort or "-began_at", SORTS)
        with self._database.begin() as connection:
            parts: list[_Part] = []
            if chosen.kind in {None, EXPORT} and chosen.status != "skipped":
                parts += _of_exports(connection, chosen, down=down)
            if chosen.kind != EXPORT:
                parts += _of_syncs(connection, chosen, down=down)
            which = f"jobs {chosen} {wanted.sort}"
            if not parts:
                return Page((), None)
            return keyset.merged(connection, parts, which, wanted, lambda row: JobRow(**row))


def _of_exports(connection: sa.Connection, chosen: Chosen, *, down: bool) -> Sequence[_Part]:
    """Those of exports; nothing, if there is none that is wanted."""
    table = runs.c
    query = sa.select(
        sa.literal(EXPORT).label("kind"),
        exports.c.name,
        *(table.id, table.number, table.status, table.created_at.label("began_at"), table.finished_at),
        sa.cast(sa.null(), sa.BigInteger).label("rows"),
        sa.cast(sa.null(), sa.BigInteger).label("rejected"),
        table.bytes_billed,
        table.error_message.label("message"),
    ).join(exports, exports.c.id == table.export_id)
    if chosen.status is not None:
        query = query.where(table.status == chosen.status)
    order = Order([(table.created_at, dt.datetime), (table.id, uuid.UUID)], down)
    wanted = [has(chosen.search, exports.c.name)] if chosen.search else []
    return _narrowed(connection, query, order, (exports, table.export_id), wanted)


def _of_syncs(connection: sa.Connection, chosen: Chosen, *, down: bool) -> Sequence[_Part]:
    """Those of syncs and imports, likewise."""
    table = sync_runs.c
    query = sa.select(
        sa.case((sync_states.IS_IMPORT, IMPORT), else_=SYNC).label("kind"),
        syncs.c.name,
        *(table.id, table.number, table.status, table.began_at, table.finished_at),
        table.written.label("rows"),
        *(table.rejected, table.bytes_billed),
        table.error["message"].astext.label("message"),
    ).join(syncs, syncs.c.id == table.sync_id)
    if chosen.status is not None:
        query = query.where(table.status == chosen.status)
    order = Order([(table.began_at, dt.datetime), (table.id, uuid.UUID)], down)
    wanted = [has(chosen.search, syncs.c.name)] if chosen.search else []
    if chosen.kind is not None:
        wanted.append(sync_states.IS_IMPORT if chosen.kind == IMPORT else ~sync_states.IS_IMPORT)
    return _narrowed(connection, query, order, (syncs, table.sync_id), wanted)


def _narrowed(
    connection: sa.Connection,
    query: sa.Select[Any],
    order: Order,
    of: tuple[sa.Table, sa.Column[Any]],
    wanted: Sequence[sa.ColumnElement[bool]],
) -> Sequence[_Part]:
    """Runs of things that are so. `of`: their table, and the column of a run that names one. The planner does not know
    how many things have a text in their names: it is told, if they are few."""
    if not wanted:
        return [(query, order)]
    things, owner = of
    ids: list[uuid.UUID] = list(connection.scalars(sa.select(things.c.id).where(*wanted).limit(_FEW + 1)))
    if not ids:
        return []
    return [(query.where(*wanted) if len(ids) > _FEW else query.where(owner.in_(ids)), order)]
