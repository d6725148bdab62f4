"""Backfills of exports: ranges of time that are exported again, by workers."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Path, Response
from pydantic import Field

from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.exports import WRITING, Reader, Writer
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.turns import SLOWLY
from tidemill.exports.backfill import BackfillView

router = APIRouter(prefix="/exports/{name}/backfills", tags=["backfills"])
_Backfill = Annotated[uuid.UUID, Path(description="Id of the backfill.")]
_MOST_AT_ONCE = 32


class RangeWanted(pydantic.BaseModel, extra="forbid"):
    """A range of event time."""

    time_from: str = Field(max_length=50, description="A date, a time, or earliest.", examples=["2026-01-01"])
    time_to: str | None = Field(default=None, max_length=50, description="Up to there; left out: without an end.")
    every: Literal["every 5 minutes", "every 15 minutes", "hour", "day", "week"] | None = Field(
        default=None, description="Size of its intervals; left out: that of the schedule."
    )


class BackfillWanted(RangeWanted):
    """A backfill."""

    parallel: int = Field(default=1, ge=1, le=_MOST_AT_ONCE, description="So many intervals at once.")


class ResumeWanted(pydantic.BaseModel, extra="forbid"):
    """How a backfill goes on."""

    parallel: int | None = Field(
        default=None, ge=1, le=_MOST_AT_ONCE, description="So many intervals at once; null: as many as before."
    )


class EstimateAnswer(pydantic.BaseModel, from_attributes=True):
    """What a backfill would move."""

    export: str
    time_from: dt.datetime | None
    time_to: dt.datetime | None
    every: str
    intervals: int = Field(description="That hold rows.")
    rows: int
    bytes: int


class BackfillAnswer(pydantic.BaseModel, from_attributes=True):
    """A backfill, with what became of its intervals. Its runs are those of the export with its id."""

    id: uuid.UUID
    export: str
    status: str = Field(description="running, interrupted, paused, failed, completed, cancelled.")
    time_from: dt.datetime | None
    time_to: dt.datetime | None
    every: str
    intervals: int
    intervals_done: int
    intervals_failed: int
    percent: float
    rows: int
    rows_done: int
    created_at: dt.datetime
    created_by: str
    finished_at: dt.datetime | None
    hint: str = Field(description="What to do about the first interval that failed.")


@router.get("", responses=problems_of())
def find(name: Name, by: Reader, wanted: Wanted) -> Listed[BackfillAnswer]:
    """Backfills of an export, newest first."""
    return pages.of(by.app.exports.listed.backfills(name, wanted=wanted), _answer)


@router.post("/estimate", responses=problems_of(400, 408, 413, 415), dependencies=[SLOWLY])
def estimate(name: Name, wanted: RangeWanted, by: Reader) -> EstimateAnswer:
    """What a backfill would move. Nothing is begun."""
    found = by.app.exports.backfills.estimate(name, wanted.time_from, wanted.time_to, wanted.every)
    fields = {field: getattr(found, field) for field in EstimateAnswer.model_fields if field != "intervals"}
    return EstimateAnswer(**fields, intervals=len(found.intervals))


@router.post("", status_code=202, responses=WRITING, dependencies=[SLOWLY])
def begin(name: Name, wanted: BackfillWanted, by: Writer, response: Response) -> BackfillAnswer:
    """Have workers export a range of time again, merged with what the table holds. An export has one at a time."""
    found = by.app.exports.backfills.estimate(name, wanted.time_from, wanted.time_to, wanted.every)
    begun = by.app.exports.backfills.begin(name, found, by=by.by, parallel=wanted.parallel, background=True)
    response.headers["location"] = schemas.address("exports", begun.export, "backfills", str(begun.id))
    return _answer(begun)


@router.get("/{backfill}", responses=problems_of())
def show(name: Name, backfill: _Backfill, by: Reader) -> BackfillAnswer:
    """How a backfill stands."""
    return _answer(by.app.exports.backfills.get(name, backfill))


@router.post("/{backfill}/pause", responses=problems_of(408, 409, 413, 415))
def pause(name: Name, backfill: _Backfill, by: Writer) -> BackfillAnswer:
    """What is begun of it ends; nothing more is begun."""
    by.app.exports.backfills.get(name, backfill, unfinished=True)
    return _answer(by.app.exports.backfills.stop(name, cancel=False))


@router.post("/{backfill}/cancel", responses=problems_of(408, 409, 413, 415), dependencies=[SLOWLY])
def cancel(name: Name, backfill: _Backfill, by: Writer) -> BackfillAnswer:
    """Cancel it, with its runs and their jobs in BigQuery. What is in the table stays."""
    by.app.exports.backfills.get(name, backfill, unfinished=True)
    return _answer(by.app.exports.backfills.stop(name, cancel=True))


@router.post("/{backfill}/resume", responses=WRITING)
def resume(name: Name, backfill: _Backfill, by: Writer, wanted: ResumeWanted | None = None) -> BackfillAnswer:
    """Have workers go on with it; failed intervals are tried again."""
    by.app.exports.backfills.get(name, backfill, unfinished=True)
    parallel = wanted.parallel if wanted is not None else None
    return _answer(by.app.exports.backfills.resume(name, by=by.by, parallel=parallel, background=True))


def _answer(found: BackfillView) -> BackfillAnswer:
    return BackfillAnswer.model_validate(found)
