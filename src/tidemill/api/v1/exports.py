"""Exports: what goes into a BigQuery table, and when; and how each stands."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas, tags
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import StepsAnswer, stepped
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.exports.listing import SORTS, ExportItem, ExportSettings
from tidemill.exports.spec import ExportSpec, Granularity, Mode
from tidemill.exports.trial.views import Uploaded
from tidemill.exports.triggers import TriggerView
from tidemill.schedules.calendar import Missed

router = APIRouter(prefix="/exports", tags=["exports"])
Reader = Annotated[Caller, Depends(caller(Permission.EXPORTS_READ))]
Writer = Annotated[Caller, Depends(caller(Permission.EXPORTS_WRITE))]
WRITING = problems_of(400, 408, 409, 413, 415)
_CHANGING = problems_of(400, 408, 409, 412, 413, 415, 428)
_Wanted = Annotated[paging.Wanted, pages.sorted_by(SORTS)]
_TEXT, _NAMES = 1_000, 1_000
_Status = Literal["running", "completed", "failed", "cancelled", "paused"]


class ExportOptions(pydantic.BaseModel, extra="forbid"):
    """What can be said of an export at any time. Times and numbers may be written as the command line takes them."""

    interval: str | None = Field(
        default=None,
        max_length=_TEXT,
        description="How often: 5m, 15m, hour, 6h, day, week, a cron expression, or none (by hand alone).",
        examples=["hour"],
    )
    time_zone: str | None = Field(default=None, max_length=100, description="Whose calendar, by the IANA's names.")
    offset: str | None = Field(default=None, max_length=100, description="How much later it is due: 30m, 3h.")
    jitter: str | None = Field(default=None, max_length=100, description="A run begins up to so much later: 2m.")
    start_at: str | None = Field(default=None, max_length=100, description="No interval before is run; or none.")
    end_at: str | None = Field(default=None, max_length=100, description="No interval after is run; or none.")
    missed: Missed | None = Field(default=None, description="Intervals that were missed: run each, or join them.")
    pause_after: str | None = Field(
        default=None, max_length=100, description="It is paused after so many failures: 10, 10/2d, or none."
    )
    delivery: Literal["load", "storage-write"] | None = schemas.of(ExportSpec, "delivery", None)
    include_events: list[str] | None = schemas.of(ExportSpec, "include_events", None, max_length=_NAMES)
    exclude_events: list[str] | None = schemas.of(ExportSpec, "exclude_events", None, max_length=_NAMES)
    run_log: pydantic.StrictBool | None = schemas.of(ExportSpec, "run_log", None)
    verify_days: str | int | None = Field(
        default=None, description="Once a day so many of the last days are verified: a number, all, or none."
    )
    reject_share: str | None = Field(
        default=None, max_length=100, description="People are told of a run that sets aside more: 5%, 0 (any), none."
    )
    max_bytes_billed: str | int | None = Field(
        default=None, description="Most bytes that one statement may be billed for: 20GB, a number, or none."
    )
    buffer_bytes: str | int | None = Field(default=None, description="Of a stream: how much is sent at once.")
    buffer_seconds: float | None = schemas.of(ExportSpec, "buffer_seconds", None)
    elements_on_any_event: pydantic.StrictBool | None = schemas.of(ExportSpec, "elements_on_any_event", None)


class PartitioningWanted(pydantic.BaseModel, extra="forbid"):
    """By which column a new table is partitioned."""

    column: str = Field(max_length=300)
    granularity: Granularity = Granularity.DAY


class ExportWanted(ExportOptions):
    """A new export. What is left out is as the model has it."""

    name: str = schemas.of(ExportSpec, "name", examples=["daily"])
    connection: str = Field(min_length=1, max_length=100, description="Name of the connection.", examples=["warehouse"])
    model: str | None = Field(default=None, max_length=100, description="What is exported. Default: events.")
    table: str | None = Field(
        default=None, min_length=1, max_length=1_100, description="Table id, or dataset.table.", examples=["events"]
    )
    mode: Mode = schemas.of(ExportSpec, "mode", Mode.BATCH)
    json_type: pydantic.StrictBool | None = schemas.of(ExportSpec, "json_type", None)
    team_id: int | None = schemas.of(ExportSpec, "team_id", None)
    partition_by: PartitioningWanted | None = Field(
        default=None, description="Partitioning of a new table. null: none; left out: the model's."
    )
    cluster_by: list[str] | None = schemas.of(ExportSpec, "cluster_by", None, max_length=_NAMES)
    partition_expiration_days: int | None = schemas.of(ExportSpec, "partition_expiration_days", None)
    table_expiration_days: int | None = schemas.of(ExportSpec, "table_expiration_days", None)
    sql: str | None = Field(default=None, description="A query over the event store instead of a model.")
    key: list[str] | None = Field(default=None, max_length=100, description="Of a query: columns by which rows merge.")
    versions: list[str] | None = Field(
        default=None, max_length=100, description="Of a query with a key: the row with the greatest of these stays."
    )


class ExportChanges(ExportOptions):
    """What is to be changed of an export; what is left out stays."""

    name: str | None = schemas.of(ExportSpec, "name", None, description="A new name.")


class TroubleAnswer(pydantic.BaseModel, from_attributes=True):
    """Why something does not go on."""

    code: str = Field(description="For programs. It stays the same.")
    message: str
    hint: str = Field(description="What to do.")


class ExportItemAnswer(pydantic.BaseModel, from_attributes=True):
    """An export in a list."""

    id: uuid.UUID
    name: str
    connection: str
    model: str
    target: str = Field(description="project.dataset.table")
    mode: Mode
    interval: str | None = Field(description="null: it is a stream.")
    is_running: bool
    paused_at: dt.datetime | None
    paused_by: str | None
    last_status: str | None = Field(description="How the last run ended that exports what is new.")
    last_finished_at: dt.datetime | None
    last_rows: int | None
    last_sent_at: dt.datetime | None = Field(description="Of a stream.")
    next_run_at: dt.datetime | None
    trouble: TroubleAnswer | None = Field(description="Why it was paused, or cannot go on at the moment.")
    created_at: dt.datetime
    created_by: str


class ExportAnswer(pydantic.BaseModel, from_attributes=True):
    """An export as it was said. How it stands is at its status."""

    id: uuid.UUID
    name: str
    connection: str
    target: str = Field(description="project.dataset.table")
    spec: ExportSpec = Field(description="All that was said of it, with what was left out.")
    created_at: dt.datetime
    created_by: str
    updated_at: dt.datetime


class ExportCreated(ExportAnswer):
    """A new export."""

    remarks: list[str] = Field(description="On what was understood.")


class TotalsAnswer(pydantic.BaseModel, from_attributes=True):
    """Of all runs of an export that are over; rows and bytes of those that were completed."""

    runs_completed: int
    runs_failed: int
    runs_cancelled: int
    rows: int
    bytes: int
    rejected: int
    bytes_billed: int
    cost_estimate: float = Field(description="In dollars, by list prices.")
    seconds: float
    last_run_seconds: float | None
    covered_until: dt.datetime | None = Field(description="All that was acknowledged before is in the table.")


class ExportStatus(pydantic.BaseModel, from_attributes=True):
    """How an export stands."""

    name: str
    last_status: str | None = Field(
        description="That of its last run, or interrupted, paused, in trouble; of a stream: streaming, not streamed."
    )
    last_finished_at: dt.datetime | None
    last_sent_at: dt.datetime | None
    waiting_rows: int = Field(description="Rows that the next run brings.")
    lag_seconds: float = Field(description="For how long the oldest of them has waited.")
    set_aside: int = Field(description="Rows that runs could not deliver.")
    trouble: str | None
    what_to_do: str | None
    paused: str | None = Field(description="Since when, and by whom.")
    next_run_at: dt.datetime | None
    queued_intervals: int
    missing_intervals: list[tuple[dt.datetime, dt.datetime]]
    overdue_since: dt.datetime | None
    last_verified_at: dt.datetime | None
    last_verified: str | None
    in_doubt_since: dt.datetime | None
    totals: TotalsAnswer


class UnpauseWanted(pydantic.BaseModel, extra="forbid"):
    """How an export goes on."""

    skip: pydantic.StrictBool = Field(
        default=False, description="Leave out the intervals of the time in which it was paused, with all that came."
    )


class UnpausedAnswer(pydantic.BaseModel):
    """What was left out."""

    rows_left_out: int


class ExportTriggerAnswer(pydantic.BaseModel, from_attributes=True):
    """Something that a worker does, or is to do."""

    id: uuid.UUID
    export: str
    what: str = Field(description="run, retry, again, rejects.")
    run: uuid.UUID | None = Field(description="The run that is meant.")
    status: Literal["waiting", "running", "completed", "failed"]
    is_over: bool
    already: bool = Field(description="It waited before it was asked for; nothing more is begun.")
    by: str
    at: dt.datetime
    finished_at: dt.datetime | None
    runs: list[uuid.UUID] = Field(description="Runs that were moved for it; none if nothing was new.")
    error: TroubleAnswer | None = Field(description="Why it failed, or what it waits for.")
    url: str = Field(description="Where to see how it stands: a path at this server.")


class SetAsideAnswer(pydantic.BaseModel, from_attributes=True):
    """A row that would be set aside."""

    id: str
    code: str
    message: str


class UploadedAnswer(pydantic.BaseModel, from_attributes=True):
    """What a test upload has sent."""

    target: str = Field(description="Where the rows of the export go: project.dataset.table")
    is_there: bool = Field(description="That table is there already; its columns were looked at.")
    scratch: str = Field(description="The table that was made for the test, and is deleted.")
    rows: int = Field(description="The newest of the export; 0: it has none yet, and a row without values was sent.")
    returned: int | None = Field(description="That came back; null: it did not come so far.")
    different: int | None = Field(description="That are not as they were sent.")
    set_aside: int = Field(description="So many more would be set aside.")
    reasons: list[SetAsideAnswer] = Field(description="The first of these.")
    columns: list[str]
    first: list[list[str | None]] = Field(description="Some of the rows: values as texts, cut to 200 characters.")
    seconds: float


class ExportTestAnswer(StepsAnswer):
    """What a test of an export found."""

    upload: UploadedAnswer | None = Field(description="null: no row was read.")


@router.get("", responses=problems_of())
def find(
    by: Reader,
    wanted: _Wanted,
    connection: Annotated[str | None, Query(max_length=100, description="Into that connection.")] = None,
    model: Annotated[str | None, Query(max_length=100, description="Of that model.")] = None,
    mode: Annotated[Mode | None, Query(description="By runs, or as streams.")] = None,
    status: Annotated[_Status | None, Query(description="How the last run ended; or running, paused.")] = None,
    search: pages.Search = None,
) -> Listed[ExportItemAnswer]:
    """Exports, by name, or as it is asked for."""
    page = by.app.exports.listed.exports(
        connection=connection, model=model, mode=mode, status=status, search=search, wanted=wanted
    )
    return pages.of(page, _item)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING}, dependencies=[SLOWLY])
def create(wanted: ExportWanted, by: Writer, response: Response) -> ExportCreated:
    """Make an export. It runs when its schedule says, or when it is triggered."""
    fields = wanted.model_dump(exclude={"connection"}, exclude_unset=True)
    view, remarks = by.app.exports.create(wanted.connection, fields, by=by.by)
    made = _answer(by.app.exports.listed.get(view.name))
    response.headers["etag"], response.headers["location"] = tags.tag(made), schemas.address("exports", made.name)
    return ExportCreated(**dict(made), remarks=remarks)


@router.post("/test", responses=WRITING, dependencies=[SLOWLY])
def test_draft(wanted: ExportWanted, by: Writer) -> ExportTestAnswer:
    """Test an export that is not made: its newest rows, 100 at most, are loaded into a scratch table beside the target,
    read back, and compared. Nothing is billed, nothing of it stays."""
    fields = wanted.model_dump(exclude={"connection"}, exclude_unset=True)
    return _tested(lambda told: by.app.exports.trials.draft(wanted.connection, fields, told=told))


@router.get("/{name}", response_model=ExportAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: Reader, request: Request, response: Response) -> Any:
    """One export, as it was said."""
    return tags.answer(_answer(by.app.exports.listed.get(name)), request, response)


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **_CHANGING})
def edit(name: Name, changes: ExportChanges, by: Writer, match: Match, response: Response) -> ExportAnswer:
    """Change an export: for runs from now on. Model, table and JSON type stay: make another export for those."""
    saved = by.app.exports.listed.get(name)
    match.check(_answer(saved))
    view = by.app.exports.edit(name, changes.model_dump(exclude_unset=True), as_of=saved.updated_at)
    made = _answer(by.app.exports.listed.get(view.name))
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", status_code=204, responses=_CHANGING, dependencies=[SLOWLY])
def delete(name: Name, by: Writer, match: Match) -> None:
    """Delete an export and the history of its runs. The table in BigQuery stays."""
    saved = by.app.exports.listed.get(name)
    match.check(_answer(saved))
    by.app.exports.delete(name, as_of=saved.updated_at)


@router.get("/{name}/status", responses=problems_of())
def status(name: Name, by: Reader) -> ExportStatus:
    """How an export stands, and what waits for its next run."""
    return ExportStatus.model_validate(by.app.exports.get(name))


@router.post("/{name}/pause", status_code=204, responses=problems_of(408, 409, 413, 415))
def pause(name: Name, by: Writer) -> None:
    """No run begins any more by itself. What runs, ends."""
    by.app.exports.schedules.pause(name, by.by)


@router.post("/{name}/unpause", responses=WRITING)
def unpause(name: Name, by: Writer, wanted: UnpauseWanted | None = None) -> UnpausedAnswer:
    """Runs begin again."""
    skip = wanted.skip if wanted is not None else False
    return UnpausedAnswer(rows_left_out=by.app.exports.schedules.unpause(name, skip=skip))


@router.post("/{name}/trigger", status_code=202, responses=problems_of(408, 409, 413, 415))
def trigger(name: Name, by: Writer, response: Response) -> ExportTriggerAnswer:
    """Have a worker export what is new, whatever the schedule says. At most one such run waits."""
    return triggered(by.app.exports.triggers.run(name, by=by.by), response)


@router.get("/{name}/triggers/{trigger}", responses=problems_of())
def show_trigger(name: Name, trigger: uuid.UUID, by: Reader, response: Response) -> ExportTriggerAnswer:
    """How something stands that a worker is to do. Until it is over, Retry-After says when to look again."""
    return triggered(by.app.exports.triggers.get(name, trigger), response)


@router.post("/{name}/test", responses=problems_of(408, 409, 413, 415), dependencies=[SLOWLY])
def test(name: Name, by: Writer) -> ExportTestAnswer:
    """Test an export by its newest rows, as before it is made. Its table, runs and position stay as they are."""
    return _tested(lambda told: by.app.exports.trials.saved(name, told=told))


def _tested(test: Callable[[Callable[[Uploaded], None]], Iterable[Any]]) -> ExportTestAnswer:
    found: list[Uploaded] = []
    steps = stepped(test(found.append))
    upload = UploadedAnswer.model_validate(found[0]) if found else None
    return ExportTestAnswer(passed=steps.passed, steps=steps.steps, upload=upload)


def triggered(found: TriggerView, response: Response) -> ExportTriggerAnswer:
    """How something stands, and where that can be seen."""
    url = schemas.address("exports", found.export, "triggers", str(found.id))
    if not found.is_over:
        response.headers["location"], response.headers["retry-after"] = url, "2"
    fields = {name: getattr(found, name) for name in ExportTriggerAnswer.model_fields if name not in {"url", "error"}}
    return ExportTriggerAnswer(**fields, error=TroubleAnswer(**found.error) if found.error else None, url=url)


def _item(found: ExportItem) -> ExportItemAnswer:
    return ExportItemAnswer.model_validate(found)


def _answer(saved: ExportSettings) -> ExportAnswer:
    return ExportAnswer.model_validate(saved)
