"""Exports, runs and backfills by pages, and one export as it was said: what lists and forms show of them.

It asks the metadata database alone, so it is quick, however many there are. How an export stands, with what waits for
its next run, ExportService.get says, which counts in the event store.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from tidemill import paging
from tidemill.errors import NotFoundError
from tidemill.exports import costs, views
from tidemill.exports.assembly import Assembly
from tidemill.exports.backfill import BackfillView
from tidemill.exports.spec import ExportSpec
from tidemill.exports.views import INTERRUPTED
from tidemill.paging import Page, Wanted
from tidemill.schedules.calendar import Schedule
from tidemill.store.backfills import Sums
from tidemill.store.export_pages import SORTS, Chosen, ChosenRuns, ExportRow
from tidemill.store.export_pages import Sums as ChunkSums
from tidemill.store.records import Run

__all__ = ["SORTS", "ExportItem", "ExportSettings", "Listing", "RunItem", "Trouble"]

#: By what a list of runs, and one of exports, can be chosen.
RUN_STATUSES = ("running", "completed", "failed", "cancelled")
EXPORT_STATUSES = (*RUN_STATUSES, "paused")


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Why something does not go on: a code, a sentence, and what to do."""

    code: str
    message: str
    hint: str


@dataclasses.dataclass(frozen=True)
class ExportItem:
    """An export in a list. `last_*`: of the newest run that is over, of those that export what is new; `trouble`: why
    it was paused, or cannot run or stream at the moment; `covered_until`: all that was acknowledged before is in the
    table."""

    id: uuid.UUID
    name: str
    connection: str
    model: str
    target: str
    mode: str
    interval: str | None
    is_running: bool
    paused_at: dt.datetime | None
    paused_by: str | None
    last_status: str | None
    last_finished_at: dt.datetime | None
    last_rows: int | None
    covered_until: dt.datetime | None
    last_sent_at: dt.datetime | None
    next_run_at: dt.datetime | None
    trouble: Trouble | None
    created_at: dt.datetime
    created_by: str


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """An export as it was said, and who said so: nothing of it changes by itself."""

    id: uuid.UUID
    name: str
    connection: str
    target: str
    spec: ExportSpec
    created_at: dt.datetime
    created_by: str
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class RunItem:
    """A run in a list; see RunView. `status` may be running of one whose process is gone, until somebody goes on."""

    id: uuid.UUID
    export: str
    number: int
    kind: str
    status: str
    mode: str
    attempt: int
    backfill: uuid.UUID | None
    interval_start: dt.datetime | None
    interval_end: dt.datetime | None
    rows_planned: int
    rows_done: int
    rows_rejected: int
    rows_repaired: int
    chunks: int
    chunks_done: int
    bytes_done: int
    bytes_billed: int
    cost_estimate: float
    created_at: dt.datetime
    created_by: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    error: Trouble | None

    @property
    def is_over(self) -> bool:
        """Whether it stays like that, if nobody tries it again."""
        return self.status not in {"running"}


class Listing:
    """See the module."""

    def __init__(self, made: Assembly) -> None:
        self._made, self._books, self._pages = made, made.books, made.books.pages

    def exports(
        self,
        *,
        connection: str | None = None,
        model: str | None = None,
        mode: str | None = None,
        search: str | None = None,
        status: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[ExportItem]:
        """Exports, by one of SORTS. `search`: it is in the name; `status`: one of EXPORT_STATUSES."""
        paging.assert_known("status", status, EXPORT_STATUSES)
        chosen = Chosen(connection, model, mode, search, status)
        return self._pages.exports(chosen, wanted).map(_item)

    def get(self, name: str) -> ExportSettings:
        """An export as it was said; NotFoundError if there is none of that name."""
        export = self._books.exports.get(name)
        return ExportSettings(
            id=export.id,
            name=export.name,
            connection=self._books.connections.by_id(export.connection_id).name,
            target=views.target(export),
            spec=ExportSpec.model_validate(export.spec),
            created_at=export.created_at,
            created_by=export.created_by,
            updated_at=export.updated_at,
        )

    def runs(
        self,
        export: str | None = None,
        *,
        backfill: uuid.UUID | None = None,
        status: str | None = None,
        after: dt.datetime | None = None,
        before: dt.datetime | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[RunItem]:
        """Runs, newest first, of one export or of all. `status`: one of RUN_STATUSES; `after`, `before`: when they were
        created."""
        paging.assert_known("status", status, RUN_STATUSES)
        owner = self._books.exports.get(export).id if export is not None else None
        page = self._pages.runs(ChosenRuns(owner, backfill, status, after, before), wanted)
        sums, alive = self._pages.sums([run.id for run, _ in page.items]), self._alive(run for run, _ in page.items)
        return page.map(lambda found: self._run(found[0], found[1], sums, alive))

    def run(self, export: str, run_id: str) -> RunItem:
        """A run of an export; NotFoundError if there is no such run, or it is none of that export."""
        run, owner = self._books.runs.get(run_id), self._books.exports.get(export)
        if run.export_id != owner.id:
            raise NotFoundError("run_unknown", f"{owner.name} has no run {run_id!r}.", hint="tidemill export runs")
        return self._run(run, owner.name, self._pages.sums([run.id]), self._alive([run]))

    def progress(self, run_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, RunItem]:
        """How these runs stand: those that are there still."""
        found = self._pages.those(run_ids)
        sums, alive = self._pages.sums([run.id for run, _ in found]), self._alive(run for run, _ in found)
        return {run.id: self._run(run, name, sums, alive) for run, name in found}

    def backfills(self, export: str | None = None, *, wanted: Wanted = Wanted()) -> Page[BackfillView]:  # noqa: B008
        """Backfills, newest first, of one export or of all."""
        owner = self._books.exports.get(export).id if export is not None else None
        page = self._pages.backfills(owner, wanted)
        sums = self._books.backfills.sums([backfill.id for backfill in page.items])
        return page.map(lambda found: self._made.backfiller.listed(found, sums.get(found.id, Sums())))

    def _alive(self, found: Any) -> set[str]:
        """Workers of runs that are running, and live."""
        workers = {run.worker for run in found if run.status == "running" and run.worker and run.mode != "stream"}
        return {worker for worker in workers if self._made.parts.engine.alive(worker)}

    def _run(self, run: Run, export: str, sums: Mapping[uuid.UUID, ChunkSums], alive: Collection[str]) -> RunItem:
        sent = sums.get(run.id, ChunkSums())
        gone = run.status == "running" and run.mode != "stream" and run.worker is not None and run.worker not in alive
        error = Trouble(run.error_code, run.error_message or "", run.error_hint or "") if run.error_code else None
        return RunItem(
            **{name: getattr(run, name) for name in _OF_RUN},
            export=export,
            kind=views.kind(run),
            status=INTERRUPTED if gone else run.status,
            backfill=run.backfill_id,
            rows_done=run.rows_merged if run.rows_merged is not None else sent.rows,
            rows_rejected=sent.rejected,
            rows_repaired=sent.repaired,
            chunks=sent.chunks,
            chunks_done=sent.chunks_done,
            bytes_done=sent.bytes,
            cost_estimate=costs.of_run(self._made.parts.settings, run, sent.bytes),
            error=error,
        )


_OF_RUN = (
    *("id", "number", "mode", "attempt", "interval_start", "interval_end", "rows_planned", "bytes_billed"),
    *("created_at", "created_by", "started_at", "finished_at"),
)


def _item(row: ExportRow) -> ExportItem:
    streams = row.spec.get("mode") == "stream"
    schedule = Schedule.model_validate(row.spec.get("schedule", {}))
    following = row.next_end and schedule.begins_at(str(row.id), row.next_end)
    trouble = row.stream_trouble if streams else row.pause_reason or row.task_error
    return ExportItem(
        **{name: getattr(row, name) for name in _OF_ROW},
        target=f"{row.project}.{row.dataset}.{row.table_id}",
        mode=str(row.spec.get("mode", "batch")),
        interval=None if streams else str(schedule),
        last_sent_at=row.stream_sent_at,
        next_run_at=None if row.paused_at or streams else row.task_due_at or following,
        trouble=Trouble(trouble["code"], trouble["message"], trouble["hint"]) if trouble else None,
    )


_OF_ROW = (
    *("id", "name", "connection", "model", "is_running", "paused_at", "paused_by", "last_status", "last_finished_at"),
    *("last_rows", "covered_until", "created_at", "created_by"),
)
