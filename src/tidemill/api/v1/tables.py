"""Tables of exports, held against the event store; and rows that runs could not deliver."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.backfills import BackfillAnswer
from tidemill.api.v1.exports import WRITING, ExportTriggerAnswer, Reader, Writer, triggered
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import LINES, AsForm, lines
from tidemill.api.v1.turns import SLOWLY
from tidemill.exports.views import RejectView

tables = APIRouter(prefix="/exports/{name}/table", tags=["exports"])
rejects = APIRouter(prefix="/exports/{name}/rejects", tags=["rejects"])
every = APIRouter(prefix="/rejects", tags=["rejects"])
_RunQuery = Annotated[
    str | None,
    Query(min_length=4, max_length=36, pattern=r"^[0-9A-Fa-f-]+$", description="That this run set aside."),
]
_Code = Annotated[
    str | None, Query(max_length=100, pattern=schemas.STORABLE, description="That were set aside for this.")
]
_ASKING = problems_of(400, 408, 409, 413, 415)


class ColumnAnswer(pydantic.BaseModel):
    """A column of a table."""

    name: str
    type: str


class CheckAnswer(pydantic.BaseModel):
    """What the table holds, id by id."""

    table: str
    columns: list[ColumnAnswer]
    expected: int = Field(description="Rows that were exported, less those that were set aside.")
    rows: int
    missing: int
    duplicated: int
    foreign: int


class ExampleAnswer(pydantic.BaseModel):
    """A query that shows what can be asked, and its answer."""

    sql: str
    columns: list[str]
    rows: list[list[Any]]


class VerifyWanted(pydantic.BaseModel, extra="forbid"):
    """What is to be verified."""

    days: int | None = Field(default=None, ge=1, le=36_500, description="So many of the last days; left out: all.")


class DayAnswer(pydantic.BaseModel, from_attributes=True):
    """A day (UTC) that is not as it should be."""

    day: dt.date | None = Field(description="null: all that there is, of a model without days.")
    expected: int
    rows: int
    missing: int
    foreign: int
    duplicated: int
    same: bool


class VerifiedAnswer(pydantic.BaseModel, from_attributes=True):
    """What was found."""

    export: str
    table: str
    since: dt.date | None
    days: int
    expected: int
    rows: int
    different: list[DayAnswer]
    bytes_billed: int
    notes: list[str]
    set_aside: int


class RepairAnswer(pydantic.BaseModel):
    """What was found, and what is done about it."""

    verified: VerifiedAnswer
    backfill: BackfillAnswer | None = Field(description="null: the table lacks nothing.")


class RejectAnswer(pydantic.BaseModel, from_attributes=True):
    """A row that a run could not deliver."""

    id: int
    export: str
    run: str = Field(description="Beginning of the run's id.")
    uuid: str = Field(description="Of the event, or the id of the row.")
    code: str
    message: str
    text: str = Field(description="The beginning of what it holds.")
    set_aside_at: dt.datetime


class RejectsWanted(pydantic.BaseModel, extra="forbid"):
    """Which rows."""

    run: str | None = Field(
        default=None, min_length=4, max_length=36, pattern=r"^[0-9A-Fa-f-]+$", description="Those of that run."
    )
    code: str | None = Field(default=None, max_length=100, description="Those that were set aside for this.")


class DismissedAnswer(pydantic.BaseModel):
    """How many are listed no longer."""

    dismissed: int


@tables.post("/check", responses=problems_of(408, 409, 413, 415), dependencies=[SLOWLY])
def check(name: Name, by: Reader) -> CheckAnswer:
    """Hold the table against the event store, id by id, by a query in BigQuery: for tables of up to some millions of
    rows."""
    found = by.app.exports.tables.check(name)
    columns = [ColumnAnswer(name=column, type=kind) for column, kind in found.columns]
    fields = {field: getattr(found, field) for field in CheckAnswer.model_fields if field != "columns"}
    return CheckAnswer(**fields, columns=columns)


@tables.post("/example", responses=problems_of(408, 409, 413, 415), dependencies=[SLOWLY])
def example(name: Name, by: Reader) -> ExampleAnswer:
    """Ask the table of events what was frequent."""
    found = by.app.exports.tables.example(name)
    return ExampleAnswer(sql=found.sql, columns=list(found.columns), rows=[list(row) for row in found.rows])


@tables.post("/verify", responses=_ASKING, dependencies=[SLOWLY])
def verify(name: Name, by: Writer, wanted: VerifyWanted | None = None) -> VerifiedAnswer:
    """Hold the table against the event store day by day, by one cheap query in BigQuery."""
    days = wanted.days if wanted is not None else None
    return VerifiedAnswer.model_validate(by.app.exports.tables.verify(name, days=days, by=by.by))


@tables.post("/repair", status_code=202, responses=_ASKING, dependencies=[SLOWLY])
def repair(name: Name, by: Writer, wanted: VerifyWanted | None = None) -> RepairAnswer:
    """Verify the table, and have workers bring in what it lacks, by a backfill of the days that differ."""
    days = wanted.days if wanted is not None else None
    verified = by.app.exports.tables.verify(name, days=days, by=by.by)
    lacking = by.app.exports.tables.repair(name, verified)
    begun = None
    if lacking is not None:
        begun = by.app.exports.backfills.begin(name, lacking, by=by.by, parallel=1, background=True)
    backfill = BackfillAnswer.model_validate(begun) if begun is not None else None
    return RepairAnswer(verified=VerifiedAnswer.model_validate(verified), backfill=backfill)


@tables.post("/settle", status_code=204, responses=problems_of(408, 409, 413, 415))
def settle(name: Name, by: Writer) -> None:
    """The table of an export that is in doubt after a restore holds no row that comes again: somebody has looked."""
    by.app.exports.tables.settle(name)


@every.get("", responses=problems_of())
def find_all(
    by: Reader,
    run: _RunQuery = None,
    code: _Code = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 50,
) -> list[RejectAnswer]:
    """Rows that runs of all exports set aside, and that no later run tried again, newest first."""
    return [_reject(one) for one in by.app.exports.set_aside.find(None, run_id=run, code=code, limit=limit)]


@rejects.get("", responses=problems_of())
def find(name: Name, by: Reader, wanted: Wanted, run: _RunQuery = None, code: _Code = None) -> Listed[RejectAnswer]:
    """Rows that runs set aside, and that no later run tried again, newest first."""
    page = by.app.exports.set_aside.page(name, run_id=run, code=code, wanted=wanted)
    return pages.of(page, _reject)


@rejects.get("/export", response_class=StreamingResponse, responses={**LINES, **problems_of()}, dependencies=[SLOWLY])
def export(
    name: Name, by: Reader, run: _RunQuery = None, code: _Code = None, form: AsForm = "json"
) -> StreamingResponse:
    """Their events, as they are read: mended and loaded, they are new events."""
    return lines(by.app.exports.set_aside.lines(name, form, run_id=run, code=code), form)


@rejects.post("/retry", status_code=202, responses=WRITING)
def retry(name: Name, by: Writer, response: Response, wanted: RejectsWanted | None = None) -> ExportTriggerAnswer:
    """Have a worker try them again."""
    which = wanted or RejectsWanted()
    found = by.app.exports.triggers.rejects(name, run_id=which.run, code=which.code, by=by.by)
    return triggered(found, response)


@rejects.post("/dismiss", responses=WRITING)
def dismiss(name: Name, by: Writer, wanted: RejectsWanted | None = None) -> DismissedAnswer:
    """List them no longer: somebody has seen to them."""
    which = wanted or RejectsWanted()
    return DismissedAnswer(dismissed=by.app.exports.set_aside.dismiss(name, run_id=which.run, code=which.code))


def _reject(found: RejectView) -> RejectAnswer:
    return RejectAnswer.model_validate(found)
