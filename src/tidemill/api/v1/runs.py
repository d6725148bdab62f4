"""Runs of exports: what each moved, how it stands and what it tells; and what can be done about one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from tidemill.api.v1 import events, pages
from tidemill.api.v1.events import State
from tidemill.api.v1.exports import ExportTriggerAnswer, Reader, TroubleAnswer, Writer, triggered
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Id, Name
from tidemill.api.v1.turns import SLOWLY
from tidemill.exports.listing import RunItem
from tidemill.schedules.lines import LineView

if TYPE_CHECKING:
    from tidemill.app import App

router = APIRouter(tags=["runs"])
_RUN = "/exports/{name}/runs/{run}"
_ACTING = problems_of(400, 408, 409, 413, 415)
_Status = Annotated[
    Literal["running", "completed", "failed", "cancelled"] | None, Query(description="Those that stand like that.")
]
_After = Annotated[pydantic.AwareDatetime | None, Query(description="Created then, or later.")]
_Before = Annotated[pydantic.AwareDatetime | None, Query(description="Created before that.")]
_Backfill = Annotated[uuid.UUID | None, Query(description="Of that backfill.")]
_Level = Annotated[Literal["debug", "info", "warning", "error"] | None, Query(description="Of that weight, or more.")]


class ExportRunAnswer(pydantic.BaseModel, from_attributes=True):
    """A run of an export."""

    id: uuid.UUID
    export: str
    number: int
    kind: str = Field(description="new, stream, backfill, or again (rows that were set aside, or sent before).")
    status: str = Field(
        description="running, interrupted (the process that moved it is gone), completed, failed, cancelled.",
        json_schema_extra={"enum": ["running", "interrupted", "completed", "failed", "cancelled"]},
    )
    is_over: bool = Field(description="It stays like that, if nobody tries it again.")
    mode: str = Field(description="append, merge, upsert, replace, stream.")
    attempt: int
    backfill: uuid.UUID | None
    interval_start: dt.datetime | None
    interval_end: dt.datetime | None
    rows_planned: int
    rows_done: int
    rows_rejected: int = Field(description="They could not be delivered, and were set aside.")
    rows_repaired: int
    chunks: int
    chunks_done: int
    bytes_done: int
    bytes_billed: int
    cost_estimate: float = Field(description="In dollars, by list prices.")
    created_at: dt.datetime
    created_by: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    error: TroubleAnswer | None


class ChunkAnswer(pydantic.BaseModel, from_attributes=True):
    """A chunk of a run."""

    number: int
    status: str
    rows: int
    rejected: int
    repaired: int
    bytes: int
    job_id: str | None = Field(description="Of the load job in BigQuery, or the name of the write stream.")


class ExportRunDetail(ExportRunAnswer):
    """A run, with its parts."""

    notes: list[str]
    merge_job_id: str | None
    snapshot_after: int
    snapshot_upto: int
    chunks_detail: list[ChunkAnswer]


class RetryWanted(pydantic.BaseModel, extra="forbid"):
    """How a run is gone on with."""

    arrived: pydantic.StrictBool | None = Field(
        default=None,
        description="Somebody has looked whether the rows of a commit that BigQuery did not confirm are in the table.",
    )


class LineAnswer(pydantic.BaseModel, from_attributes=True):
    """A line of a log."""

    id: int
    at: dt.datetime
    run: str | None = Field(description="Beginning of the run's id; null: between two runs.")
    attempt: int | None
    level: str
    step: str
    message: str
    fields: dict[str, Any]
    process: str


@router.get("/runs", responses=problems_of())
def find_all(
    by: Reader, wanted: Wanted, status: _Status = None, created_after: _After = None, created_before: _Before = None
) -> Listed[ExportRunAnswer]:
    """Runs of all exports, newest first."""
    page = by.app.exports.listed.runs(status=status, after=created_after, before=created_before, wanted=wanted)
    return pages.of(page, _answer)


@router.get("/exports/{name}/runs", responses=problems_of())
def find(
    name: Name,
    by: Reader,
    wanted: Wanted,
    status: _Status = None,
    created_after: _After = None,
    created_before: _Before = None,
    backfill: _Backfill = None,
) -> Listed[ExportRunAnswer]:
    """Runs of an export, newest first."""
    page = by.app.exports.listed.runs(
        name, backfill=backfill, status=status, after=created_after, before=created_before, wanted=wanted
    )
    return pages.of(page, _answer)


@router.get(_RUN, responses=problems_of())
def show(name: Name, run: Id, by: Reader) -> ExportRunDetail:
    """One run, with its chunks."""
    item = by.app.exports.listed.run(name, run)
    view = by.app.exports.runs.get(str(item.id))
    return ExportRunDetail(
        **_answer(item).model_dump(),
        notes=list(view.notes),
        merge_job_id=view.merge_job_id,
        snapshot_after=view.snapshot_after,
        snapshot_upto=view.snapshot_upto,
        chunks_detail=[ChunkAnswer.model_validate(chunk) for chunk in view.chunks],
    )


@router.get(f"{_RUN}/events", response_class=Response, responses={**events.DESCRIBED, **problems_of()})
def progress(name: Name, run: Id, by: Reader, request: Request) -> Response:
    """How a run goes on, as Server-Sent Events, until it is over."""
    item = by.app.exports.listed.run(name, run)
    return events.stream(request, _look, item.id, _state(item))


@router.post(f"{_RUN}/cancel", responses=problems_of(408, 409, 413, 415), dependencies=[SLOWLY])
def cancel(name: Name, run: Id, by: Writer) -> ExportRunAnswer:
    """Stop a run, and its jobs in BigQuery. It is waited for that, a minute at most: the answer says how it stands."""
    item = by.app.exports.listed.run(name, run)
    by.app.exports.runs.cancel(str(item.id))
    return _answer(by.app.exports.listed.run(name, str(item.id)))


@router.post(f"{_RUN}/retry", status_code=202, responses=_ACTING)
def retry(
    name: Name, run: Id, by: Writer, response: Response, wanted: RetryWanted | None = None
) -> ExportTriggerAnswer:
    """Have a worker go on with a run that failed, was cancelled or interrupted; of a completed one, with what it set
    aside."""
    item = by.app.exports.listed.run(name, run)
    arrived = wanted.arrived if wanted is not None else None
    return triggered(by.app.exports.triggers.retry(str(item.id), by=by.by, arrived=arrived), response)


@router.post(f"{_RUN}/again", status_code=202, responses=problems_of(408, 409, 413, 415))
def again(name: Name, run: Id, by: Writer, response: Response) -> ExportTriggerAnswer:
    """Have a worker send all rows of a completed run again, merged with what the table holds."""
    item = by.app.exports.listed.run(name, run)
    return triggered(by.app.exports.triggers.again(str(item.id), by=by.by), response)


@router.get(f"{_RUN}/logs", responses=problems_of())
def logs(
    name: Name,
    run: Id,
    by: Reader,
    wanted: Wanted,
    level: _Level = None,
    step: Annotated[str | None, Query(max_length=100, description="Of that step.")] = None,
    search: Annotated[str | None, Query(max_length=300, description="In message, step or fields.")] = None,
    since: Annotated[str | None, Query(max_length=50, description="A time, or how long ago: 15m.")] = None,
) -> Listed[LineAnswer]:
    """What a run has told, oldest first."""
    item = by.app.exports.listed.run(name, run)
    page = by.app.exports.logs.page(str(item.id), wanted, level=level, step=step, search=search, since=since)
    return pages.of(page, _line)


@router.get("/exports/{name}/logs", responses=problems_of())
def logs_of_export(
    name: Name,
    by: Reader,
    level: _Level = None,
    step: Annotated[str | None, Query(max_length=100, description="Of that step.")] = None,
    search: Annotated[str | None, Query(max_length=300, description="In message, step or fields.")] = None,
    since: Annotated[str | None, Query(max_length=50, description="A time, or how long ago: 15m.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many at most: the last ones.")] = 200,
) -> list[LineAnswer]:
    """What the last run told that had something to do, and what was told since of no run; oldest first."""
    wanted = {"level": level, "step": step, "search": search, "since": since, "limit": limit}
    return [_line(line) for line in by.app.exports.logs.of_export(name, **wanted)]


def _look(app: App, keys: Collection[Any]) -> Mapping[Any, State]:
    """See events.Look."""
    return {run_id: _state(item) for run_id, item in app.exports.listed.progress(keys).items()}


def _state(item: RunItem) -> State:
    return State(_answer(item).model_dump(mode="json"), item.is_over)


def _answer(item: RunItem) -> ExportRunAnswer:
    return ExportRunAnswer.model_validate(item)


def _line(line: LineView) -> LineAnswer:
    return LineAnswer.model_validate(line)
