"""Exports, their runs and backfills by pages, for lists: each query takes as long with a million runs as with ten.

What is told of each row is what the database knows: nothing is asked of the event store, of BigQuery, or of workers.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order, Sorts, called, has, moment, named
from tidemill.store.records import Backfill, Run
from tidemill.store.tables import backfills, chunks, connections, exports, runs, streams
from tidemill.store.tables_queue import schedules, tasks
from tidemill.store.tables_seeing import run_totals

_NEWEST = True
_NAME = named(exports.c.name)
#: By what exports are ordered; what never was comes first.
_SORTS = Sorts(
    {
        "name": _NAME,
        "last_finished_at": moment(run_totals.c.last_finished_at),
        "covered_until": moment(run_totals.c.covered_until),
        "last_rows": (sa.func.coalesce(run_totals.c.last_rows, -1), int),
        "created_at": moment(exports.c.created_at),
    },
    _NAME,
)
SORTS = tuple(_SORTS.words)


@dataclasses.dataclass(frozen=True)
class ExportRow:
    """An export in a list. `last_*`: of its newest run that is over, of those that export what is new; `task_*`: of the
    first interval that has ended, and whose run is not completed; `stream_trouble`: code, message, hint."""

    id: uuid.UUID
    name: str
    connection: str
    model: str
    project: str
    dataset: str
    table_id: str
    spec: dict[str, Any]
    created_at: dt.datetime
    created_by: str
    updated_at: dt.datetime
    last_status: str | None
    last_finished_at: dt.datetime | None
    last_rows: int | None
    covered_until: dt.datetime | None
    next_end: dt.datetime | None
    paused_at: dt.datetime | None
    paused_by: str | None
    pause_reason: dict[str, str] | None
    task_due_at: dt.datetime | None
    task_error: dict[str, str] | None
    stream_trouble: dict[str, str] | None
    stream_sent_at: dt.datetime | None
    is_running: bool


@dataclasses.dataclass(frozen=True)
class Sums:
    """What the chunks of a run have brought so far."""

    chunks: int = 0
    chunks_done: int = 0
    rows: int = 0
    rejected: int = 0
    repaired: int = 0
    bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which exports. `search`: it is in the name, whatever its case; `status`: how the last run ended; or paused, or
    running."""

    connection: str | None = None
    model: str | None = None
    mode: str | None = None
    search: str | None = None
    status: str | None = None


@dataclasses.dataclass(frozen=True)
class ChosenRuns:
    """Which runs: of that export or backfill, of that status, created in that time."""

    export_id: uuid.UUID | None = None
    backfill_id: uuid.UUID | None = None
    status: str | None = None
    after: dt.datetime | None = None
    before: dt.datetime | None = None


class ExportPages:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exports(self, chosen: Chosen, wanted: Wanted) -> Page[ExportRow]:
        """Exports by pages, by one of SORTS."""
        query = _exports()
        if chosen.connection is not None:
            query = query.where(called(chosen.connection, connections.c.name))
        if chosen.model is not None:
            query = query.where(exports.c.model == chosen.model)
        if chosen.mode is not None:
            query = query.where(sa.func.coalesce(exports.c.spec["mode"].astext, "batch") == chosen.mode)
        if chosen.search:
            query = query.where(has(chosen.search, exports.c.name))
        if chosen.status is not None:
            query = query.where(_is(chosen.status))
        return keyset.listed(self._database, query, _SORTS, f"exports {chosen}", wanted, lambda row: ExportRow(**row))

    def export(self, name: str) -> ExportRow | None:
        """The same of one export; None if there is none of that name."""
        query = _exports().where(sa.func.lower(exports.c.name) == sa.func.lower(name))
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        return ExportRow(**row._mapping) if row else None

    def runs(self, chosen: ChosenRuns, wanted: Wanted) -> Page[tuple[Run, str]]:
        """Runs, newest first, with the names of their exports."""
        query = sa.select(runs, exports.c.name.label("export_name")).join(exports, exports.c.id == runs.c.export_id)
        same = ("export_id", chosen.export_id), ("backfill_id", chosen.backfill_id), ("status", chosen.status)
        query = query.where(*(runs.c[name] == value for name, value in same if value is not None))
        if chosen.after is not None:
            query = query.where(runs.c.created_at >= chosen.after)
        if chosen.before is not None:
            query = query.where(runs.c.created_at < chosen.before)
        order = Order([(runs.c.created_at, dt.datetime), (runs.c.id, uuid.UUID)], descending=_NEWEST)
        return keyset.page(self._database, query, order, f"runs {chosen}", wanted, _run)

    def sums(self, run_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Sums]:
        """What the chunks of these runs have brought."""
        done = sa.func.count().filter(chunks.c.status == "loaded")
        columns = [("rows_loaded", "rows"), ("rows_rejected", "rejected"), ("rows_repaired", "repaired")]
        summed = [sa.cast(sa.func.sum(chunks.c[of]), sa.BigInteger).label(name) for of, name in columns]
        size = sa.cast(sa.func.sum(chunks.c.bytes), sa.BigInteger).label("bytes")
        query = sa.select(
            chunks.c.run_id, sa.func.count().label("chunks"), done.label("chunks_done"), *summed, size
        ).group_by(chunks.c.run_id)
        with self._database.begin() as connection:
            found = connection.execute(query.where(chunks.c.run_id.in_(list(run_ids)))).all() if run_ids else []
        return {row.run_id: Sums(**{k: v for k, v in row._mapping.items() if k != "run_id"}) for row in found}

    def those(self, run_ids: Collection[uuid.UUID]) -> list[tuple[Run, str]]:
        """These runs, as far as they are there, with the names of their exports."""
        query = sa.select(runs, exports.c.name.label("export_name")).join(exports, exports.c.id == runs.c.export_id)
        with self._database.begin() as connection:
            found = connection.execute(query.where(runs.c.id.in_(list(run_ids))))
            return [_run(dict(row._mapping)) for row in found]

    def backfills(self, export_id: uuid.UUID | None, wanted: Wanted) -> Page[Backfill]:
        """Backfills, newest first, of one export or of all."""
        query = sa.select(backfills)
        if export_id is not None:
            query = query.where(backfills.c.export_id == export_id)
        order = Order([(backfills.c.created_at, dt.datetime), (backfills.c.id, uuid.UUID)], descending=_NEWEST)
        which = f"backfills {export_id}"
        return keyset.page(self._database, query, order, which, wanted, lambda row: Backfill(**row))


def _exports() -> sa.Select[Any]:
    first = sa.select(tasks.c.due_at, tasks.c.error).where(tasks.c.export_id == exports.c.id)
    task = first.order_by(tasks.c.interval_end).limit(1).lateral("task")
    own = ("id", "name", "model", "project", "dataset", "table_id", "spec", "created_at", "created_by", "updated_at")
    totals = ("last_status", "last_finished_at", "last_rows", "covered_until")
    return (
        sa.select(
            *(exports.c[name] for name in own),
            connections.c.name.label("connection"),
            *(run_totals.c[name] for name in totals),
            *(schedules.c[name] for name in ("next_end", "paused_at", "paused_by", "pause_reason")),
            task.c.due_at.label("task_due_at"),
            task.c.error.label("task_error"),
            streams.c.trouble.label("stream_trouble"),
            streams.c.sent_at.label("stream_sent_at"),
            _is_running().label("is_running"),
        )
        .join(connections, connections.c.id == exports.c.connection_id)
        .outerjoin(run_totals, run_totals.c.export_id == exports.c.id)
        .outerjoin(schedules, schedules.c.export_id == exports.c.id)
        .outerjoin(streams, streams.c.export_id == exports.c.id)
        .outerjoin(task, sa.true())
    )


def _is_running() -> sa.Exists:
    own = (runs.c.export_id == exports.c.id, runs.c.status == "running")
    return sa.exists().where(*own, runs.c.backfill_id.is_(None), runs.c.mode != "stream")


def _is(status: str) -> sa.ColumnElement[bool]:
    if status == "paused":
        return schedules.c.paused_at.is_not(None)
    return _is_running() if status == "running" else run_totals.c.last_status == status


def _run(row: Mapping[str, Any]) -> tuple[Run, str]:
    fields = dict(row)
    name = str(fields.pop("export_name"))
    return Run(**fields), name
