"""Events of the store: counted, shown; and lines that were set aside. They come in by files, SDKs and imports."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.shared import ACTING, WRITING, NumberAnswer, pieces
from tidemill.api.v1.turns import SLOWLY
from tidemill.errors import ConfigError

router = APIRouter(prefix="/events", tags=["events"])
_Reader = Annotated[Caller, Depends(caller(Permission.EVENTS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.EVENTS_WRITE))]
Team = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="Of that team.")]
_Text = Annotated[str | None, Query(max_length=400, pattern=schemas.STORABLE, description="With just that.")]
_Code = Annotated[str | None, Query(max_length=200, pattern=schemas.STORABLE, description="With that reason.")]
_SHOWN = 2_000
_TEXTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The lines.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


class EventAnswer(pydantic.BaseModel):
    """An event of the store."""

    uuid: str
    event: str
    distinct_id: str
    timestamp: dt.datetime
    team_id: int
    ip: str | None
    properties: str | None = Field(description="A JSON text.")
    set: str | None = Field(description="A JSON text.")
    set_once: str | None = Field(description="A JSON text.")
    inserted_at: dt.datetime


class EventCountAnswer(pydantic.BaseModel):
    """How many events there are."""

    value: str | int | None = Field(description="Of that name, team or day; null: all.")
    events: int


class EventRejectAnswer(pydantic.BaseModel):
    """A line that was set aside."""

    id: int
    place: str = Field(description="Where it was.")
    code: str
    message: str
    text: str = Field(description="Its beginning.")
    created_at: dt.datetime


class EventRejectsChosen(pydantic.BaseModel, extra="forbid"):
    """Which lines are meant."""

    code: str | None = Field(default=None, min_length=1, max_length=200, description="With that reason.")
    ids: list[int] = Field(default=[], max_length=1_000, description="Of these ids.")
    all: pydantic.StrictBool = Field(default=False, description="All: it must be said, if nothing else says which.")


class EventRetryWanted(pydantic.BaseModel, extra="forbid"):
    """How lines are read once more."""

    code: str | None = Field(default=None, min_length=1, max_length=200, description="With that reason. Default: all.")
    mapping: dict[str, str] = Field(
        default={}, max_length=20, description="Of jsonl, csv, parquet: FIELD to COLUMN; event_name: one name for all."
    )


class EventRetriedAnswer(pydantic.BaseModel, from_attributes=True):
    """What came of it."""

    rows: int = Field(description="They were added.")
    duplicates: int = Field(description="They were known already.")
    rejects: int = Field(description="They are set aside still.")


class CompactedAnswer(pydantic.BaseModel, from_attributes=True):
    """What became of small files."""

    files_before: int
    files_after: int


@router.get("", responses=problems_of(), dependencies=[SLOWLY])
def find(
    by: _Reader,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 10,
    event: _Text = None,
    distinct_id: _Text = None,
    uuid: Annotated[str | None, Query(max_length=36, pattern=r"^[0-9A-Fa-f-]{36}$", description="Of that id.")] = None,
    team_id: Team = None,
) -> list[EventAnswer]:
    """Events, newest first."""
    which = {"event": event, "distinct_id": distinct_id, "uuid": uuid, "team_id": team_id}
    return [_event(row) for row in by.app.events.show(limit=limit, **which)]


@router.get("/count", responses=problems_of(), dependencies=[SLOWLY])
def count(
    by: _Reader,
    group: Annotated[Literal["event", "team", "day"] | None, Query(description="Of each of these.")] = None,
    team_id: Team = None,
) -> list[EventCountAnswer]:
    """How many events there are, most first."""
    found = by.app.events.count(by=group, team_id=team_id)
    return [EventCountAnswer(value=value, events=number) for value, number in found]


@router.post("/compact", responses=ACTING, dependencies=[SLOWLY])
def compact(by: _Writer) -> CompactedAnswer:
    """Join small files of the event store into larger ones. Safe while others load and export."""
    return CompactedAnswer.model_validate(by.app.events.compact())


@router.get("/rejects", responses=problems_of())
def rejects(by: _Reader, wanted: Wanted, code: _Code = None) -> Listed[EventRejectAnswer]:
    """Lines that were set aside, newest first."""
    return pages.of(by.app.events.rejects_page(wanted, code=code), _reject)


@router.get(
    "/rejects/export", response_class=StreamingResponse, responses={**_TEXTS, **problems_of()}, dependencies=[SLOWLY]
)
def export_rejects(by: _Reader, code: _Code = None) -> StreamingResponse:
    """The lines that were set aside, as they came, one a line: mend them, and load them."""
    return StreamingResponse(pieces(by.app.events.reject_lines(code=code), b""), media_type="text/plain")


@router.post("/rejects/retry", responses=WRITING, dependencies=[SLOWLY])
def retry_rejects(by: _Writer, wanted: EventRetryWanted | None = None) -> EventRetriedAnswer:
    """Read lines once more, with another mapping if you like."""
    asked = wanted or EventRetryWanted()
    found = by.app.events.retry_rejects(code=asked.code, mapping=asked.mapping)
    return EventRetriedAnswer.model_validate(found)


@router.post("/rejects/dismiss", responses=WRITING)
def dismiss_rejects(chosen: EventRejectsChosen, by: _Writer) -> NumberAnswer:
    """List them no longer: somebody has seen to them."""
    if bool(chosen.ids) + (chosen.code is not None) + chosen.all != 1:
        raise ConfigError("rejects_unclear", "It is not said which ones.", hint="Give ids, or code, or all.")
    return NumberAnswer(number=by.app.events.dismiss_rejects(code=chosen.code, ids=chosen.ids))


def _event(row: dict[str, Any]) -> EventAnswer:
    return EventAnswer.model_validate({**row, "uuid": str(row["uuid"])})


def _reject(found: Any) -> EventRejectAnswer:
    text = found.raw[:_SHOWN].decode("utf-8", "replace")
    fields = {name: getattr(found, name) for name in EventRejectAnswer.model_fields if name != "text"}
    return EventRejectAnswer(**fields, text=text)
