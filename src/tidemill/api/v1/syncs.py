"""Syncs: rows of source models that are delivered to other tools, as they change."""

from __future__ import annotations

import datetime as dt
import uuid
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
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING, ReasonAnswer, RemarkAnswer, given, reason
from tidemill.api.v1.sync_runs import SyncRunAnswer, run_answer, silent
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.reverse_etl.service import SYNC_SORTS, SyncSpec, SyncView

router = APIRouter(prefix="/syncs", tags=["syncs"])
_Reader = Annotated[Caller, Depends(caller(Permission.SYNCS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.SYNCS_WRITE))]
_Sender = Annotated[Caller, Depends(caller(Permission.SYNCS_TRIGGER))]
_MAPPING = "Fields of the action, in the mapping language."
_TEXT = 1_000


class ScheduleFields(pydantic.BaseModel, extra="forbid"):
    """When something runs by itself, as the command line takes it."""

    interval: str | None = Field(
        default=None,
        max_length=_TEXT,
        description="How often: 5m, 15m, hour, 6h, day, week, a cron expression, or none (by hand alone).",
        examples=["hour"],
    )
    time_zone: str | None = Field(default=None, max_length=100, description="Whose calendar, by the IANA's names.")
    offset: str | None = Field(default=None, max_length=100, description="How much later it is due: 30m, 3h.")
    jitter: str | None = Field(default=None, max_length=100, description="A run begins up to so much later: 2m.")
    pause_after: str | None = Field(
        default=None, max_length=100, description="It is paused after so many failures: 10, 10/2d, or none."
    )


class LimitFields(ScheduleFields):
    """What stops runs, and what people are told of."""

    delete_brake: float | None = schemas.of(SyncSpec, "delete_brake", None)
    most_rejects: int | None = schemas.of(SyncSpec, "most_rejects", None)
    reject_share: float | Literal["none"] | None = Field(
        default=None, description="People are told of a run in which a larger share is refused; none: never."
    )
    deviation: float | Literal["none"] | None = Field(
        default=None, description="People are told of a run whose rows differ from the usual by this share; or none."
    )
    max_bytes_billed: str | int | None = Field(
        default=None, description="A run that would be billed for more bytes does not start: 20GB, a number; or none."
    )


class SyncOptions(LimitFields):
    """What can be said of a sync at any time."""

    mode: Literal["insert", "update", "upsert", "delete", "mirror"] | None = schemas.of(SyncSpec, "mode", None)
    mapping: dict[str, Any] | None = Field(default=None, max_length=_TEXT, description=_MAPPING)
    cursor_unit: Literal["none", "seconds", "milliseconds"] | None = schemas.of(SyncSpec, "cursor_unit", None)
    cursor_overlap: int | None = schemas.of(SyncSpec, "cursor_overlap", None)
    write_back_days: int | Literal["none"] | None = Field(
        default=None, description="Runs and rows are written into the state dataset, for so many days; or none."
    )


class SyncWanted(SyncOptions):
    """A new sync."""

    name: str = schemas.of(SyncSpec, "name", examples=["crm"])
    model: str = Field(min_length=1, max_length=100, description="Name of the source model.", examples=["people"])
    destination: str = Field(min_length=1, max_length=100, description="Name of the destination.", examples=["hook"])
    action: str | None = Field(default=None, max_length=100, description="What the destination does with rows.")
    mapping: dict[str, Any] = Field(max_length=_TEXT, description=_MAPPING, examples=[{"email": {"@path": "$.email"}}])
    extraction: Literal["diff", "cursor", "full"] | None = schemas.of(SyncSpec, "extraction", None)
    cursor: str | None = schemas.of(SyncSpec, "cursor", None, max_length=300)


class SyncChanges(SyncOptions):
    """What is to be changed of a sync; what is left out stays."""

    name: str | None = schemas.of(SyncSpec, "name", None)
    reset: Literal["resend", "leave"] | None = Field(
        default=None, description="If the mapping changes: send all rows again, or leave what was sent."
    )


class SyncAnswer(pydantic.BaseModel, from_attributes=True):
    """A sync as it was said. How it stands is at its status."""

    id: uuid.UUID
    name: str
    model: str
    destination: str
    kind: str = Field(description="What the kind of the destination is called.")
    spec: SyncSpec = Field(description="All that was said of it, with what was left out.")
    made_at: dt.datetime
    made_by: str


class SyncTroubleAnswer(pydantic.BaseModel, from_attributes=True):
    """What is wrong with a sync, as people are told."""

    cause: str
    since: dt.datetime
    code: str
    message: str
    what_to_do: str


class SyncStatus(pydantic.BaseModel):
    """How a sync stands."""

    name: str
    status: str = Field(description="paused, running or ready.")
    next_at: dt.datetime | None
    overdue_since: dt.datetime | None = Field(description="When a run should have begun that nobody has begun.")
    paused_by: str | None
    pause_reason: ReasonAnswer | None
    pending: str | None = Field(description="What is to be done before its next run: resend, leave, adopt, forget.")
    position: str | None = Field(description="Of its cursor.")
    rejects: dict[str, int] = Field(description="Rows that are not delivered, by status.")
    last: SyncRunAnswer | None
    troubles: list[SyncTroubleAnswer]


class SyncItem(SyncStatus):
    """A sync in a list."""

    id: uuid.UUID
    model: str
    destination: str
    kind: str
    made_at: dt.datetime
    made_by: str


class SuggestWanted(pydantic.BaseModel, extra="forbid"):
    """What a mapping is wanted for."""

    model: str = Field(min_length=1, max_length=100, description="Name of the source model.")
    destination: str = Field(min_length=1, max_length=100, description="Name of the destination.")
    action: str | None = Field(default=None, max_length=100, description="What the destination does with rows.")


class MappingAnswer(pydantic.BaseModel):
    """A mapping."""

    mapping: dict[str, Any] = Field(description=_MAPPING)


class SyncEstimateAnswer(pydantic.BaseModel):
    """A dry run."""

    counts: dict[str, int] = Field(description="Rows, as those of a run; and why some are invalid.")
    known: int = Field(description="Rows that were delivered before.")
    samples: list[dict[str, Any]] = Field(description="Some rows of each operation, with what would be sent of them.")
    resends: bool = Field(description="A run would send unchanged rows, too.")
    stopped: ReasonAnswer | None = Field(description="Why a run would stop before it sends anything.")
    bytes_billed: int
    dollars: float
    run_bytes: int = Field(description="What a run would be billed for, about.")
    run_dollars: float


class TestRecordWanted(pydantic.BaseModel, extra="forbid"):
    """Which row is sent for a try."""

    key: str | None = Field(default=None, max_length=10_000, description="Its key. Default: any that is to be sent.")


class TestRecordAnswer(pydantic.BaseModel):
    """A row that was sent for a try."""

    key: str
    fields: dict[str, Any] = Field(description="What was made of it.")
    requests: list[dict[str, Any]] = Field(description="What was asked of the destination, and answered.")
    status: str = Field(description="written, rejected, retry; or failed, for a reason that is not the row's.")
    message: str
    error: ReasonAnswer | None


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(SYNC_SORTS)],
    search: Annotated[
        str | None, Query(max_length=100, description="In the name, or in that of its model or destination.")
    ] = None,
    model: Annotated[str | None, Query(max_length=100, description="Of that source model.")] = None,
    destination: Annotated[str | None, Query(max_length=100, description="To that destination.")] = None,
    connection: Annotated[str | None, Query(max_length=100, description="Whose model is of that connection.")] = None,
    status: Annotated[
        Literal["paused", "running", "ready", "trouble"] | None,
        Query(description="That stand like that; or that something is wrong with, beside how they stand."),
    ] = None,
) -> Listed[SyncItem]:
    """Syncs, by name, or as it is asked for, each with how it stands."""
    chosen = {"search": search, "model": model, "destination": destination, "connection": connection, "status": status}
    return pages.of(by.app.reverse_etl.listed.syncs(**chosen, wanted=wanted), _item)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING}, dependencies=[SLOWLY])
def create(wanted: SyncWanted, by: _Writer, response: Response) -> SyncAnswer:
    """Make a sync. It delivers what has changed by its runs, when its schedule says, or when it is triggered."""
    fields = given(wanted, "model", "destination")
    made = _answer(by.app.reverse_etl.syncs.create(wanted.model, wanted.destination, fields, by=by.by))
    response.headers["location"], response.headers["etag"] = schemas.address("syncs", made.name), tags.tag(made)
    return made


@router.post("/suggest", responses=WRITING, dependencies=[SLOWLY])
def suggest(wanted: SuggestWanted, by: _Reader) -> MappingAnswer:
    """A mapping by the names of the model's columns."""
    found = by.app.reverse_etl.syncs.suggested(wanted.model, wanted.destination, wanted.action)
    return MappingAnswer(mapping=found)


@router.get("/{name}", response_model=SyncAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One sync, as it was said."""
    return tags.answer(_answer(_found(by, name)), request, response)


@router.get("/{name}/status", responses=problems_of())
def status(name: Name, by: _Reader) -> SyncStatus:
    """How a sync stands."""
    return SyncStatus(**_standing(_found(by, name)))


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING}, dependencies=[SLOWLY])
def edit(name: Name, changes: SyncChanges, by: _Writer, match: Match, response: Response) -> SyncAnswer:
    """Change a sync: for runs from now on."""
    saved = _found(by, name)
    match.check(_answer(saved))
    made = _answer(by.app.reverse_etl.syncs.edit(saved.name, given(changes, "reset"), reset=changes.reset))
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", responses=CHANGING, dependencies=[SLOWLY])
def delete(name: Name, by: _Writer, match: Match) -> RemarkAnswer:
    """Delete a sync, its runs, and what is remembered of its rows. Nothing is deleted in the destination."""
    match.check(_answer(_found(by, name)))
    return RemarkAnswer(remark=by.app.reverse_etl.syncs.delete(name))


@router.post("/{name}/dry-run", responses=ACTING, dependencies=[SLOWLY])
def dry_run(name: Name, by: _Sender) -> SyncEstimateAnswer:
    """What a run would do now. The plan is made, and billed; nothing is sent or remembered."""
    found = by.app.reverse_etl.trials.estimate(_found(by, name).name, silent())
    fields = {field: getattr(found, field) for field in SyncEstimateAnswer.model_fields if field != "stopped"}
    return SyncEstimateAnswer(**fields, stopped=reason(found.stopped))


@router.post("/{name}/test", responses=WRITING, dependencies=[SLOWLY])
def test(name: Name, by: _Sender, wanted: TestRecordWanted | None = None) -> TestRecordAnswer:
    """Send one row, and see the request and the answer. The next run that gets so far sends it again, as the same."""
    key = wanted.key if wanted is not None else None
    found = by.app.reverse_etl.trials.send_one(_found(by, name).name, silent(), key)
    fields = {field: getattr(found, field) for field in TestRecordAnswer.model_fields if field != "error"}
    return TestRecordAnswer(**fields, error=reason(found.error))


def _found(by: Caller, name: str) -> SyncView:
    by.app.reverse_etl.syncs.assert_of(name, "sync")
    return by.app.reverse_etl.syncs.get(name)


def _answer(found: SyncView) -> SyncAnswer:
    return SyncAnswer.model_validate(found)


def _standing(found: SyncView) -> dict[str, Any]:
    plain = ("name", "status", "next_at", "overdue_since", "paused_by", "pending", "position", "rejects")
    return {
        **{field: getattr(found, field) for field in plain},
        "pause_reason": reason(found.pause_reason),
        "last": run_answer(found.last) if found.last is not None else None,
        "troubles": [SyncTroubleAnswer.model_validate(one) for one in found.troubles],
    }


def _item(found: SyncView) -> SyncItem:
    more = {field: getattr(found, field) for field in ("id", "model", "destination", "kind", "made_at", "made_by")}
    return SyncItem(**_standing(found), **more)
