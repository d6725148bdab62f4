"""Syncs: have one run, and see how a run stands."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from typing import TYPE_CHECKING, Annotated

import pydantic
from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.problems import problems_of

if TYPE_CHECKING:
    from tidemill.reverse_etl.service import RunState

router = APIRouter(prefix="/syncs", tags=["syncs"])
_LOOK_AGAIN_SECONDS = "2"
_Name = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", description="Name of the sync.")]
_Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the run.")]
_Key = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="The same within a day is the same call, and begins nothing twice."
    ),
]
_LATER = {"Retry-After": {"description": "Seconds until it is worth a look.", "schema": {"type": "integer"}}}


class TriggerRequest(pydantic.BaseModel, extra="forbid"):
    """What is wanted of a run."""

    force: pydantic.StrictBool = Field(default=False, description="Also if no table of the model has changed.")


class TriggerAnswer(pydantic.BaseModel):
    """The run that is to be done, or is at work."""

    sync: str = Field(description="Name of the sync.")
    run: int = Field(description="Number of the run.")
    already: bool = Field(description="It was at work, or waited, before; nothing more is begun.")
    url: str = Field(description="Where to see how it stands: a path at this server.")


class Counts(pydantic.BaseModel):
    """Rows of a run: of the model, by what has changed since they were delivered; and what became of those that were to
    be delivered. added + updated + deleted + retried = extracted + noted; extracted = written + rejected + to_retry +
    unsent."""

    added: int
    updated: int
    deleted: int
    retried: int = Field(description="An earlier run has tried them already: added, updated or deleted ones.")
    unchanged: int
    invalid: int = Field(description="They cannot be delivered: their key is NULL, or that of others, too.")
    dropped: int = Field(description="Somebody gave them up, as they are.")
    extracted: int = Field(description="They are to be delivered.")
    noted: int = Field(description="They have changed, and the mode of the sync does not deliver that.")
    written: int
    rejected: int = Field(description="The destination, the mapping or a check says no.")
    to_retry: int = Field(description="The next run tries them again.")
    unsent: int = Field(description="The run has not come to them; when it is over, the next one does.")


class ErrorAnswer(pydantic.BaseModel):
    """Why a run failed, or what it waits for."""

    code: str
    message: str
    hint: str


class RunAnswer(pydantic.BaseModel):
    """How a run stands."""

    sync: str = Field(description="Name of the sync.")
    run: int = Field(description="Number of the run.")
    status: str = Field(
        description="waiting (for a worker), running; completed, skipped (nothing has changed), failed, cancelled.",
        json_schema_extra={"enum": ["waiting", "running", "completed", "skipped", "failed", "cancelled"]},
    )
    is_over: bool = Field(description="It stays like that.")
    counts: Counts | None = Field(description="null: it has not begun.")
    bytes_billed: int
    error: ErrorAnswer | None
    began_at: dt.datetime | None
    began_by: str | None
    finished_at: dt.datetime | None


@router.post("/{name}/trigger", status_code=202, responses=problems_of(400, 408, 409, 413, 415))
def trigger(
    name: _Name,
    response: Response,
    by: Annotated[Caller, Depends(caller(Permission.SYNCS_TRIGGER))],
    wanted: TriggerRequest | None = None,
    idempotency_key: _Key = None,
) -> TriggerAnswer:
    """Have a worker run a sync, whether or not it has a schedule.

    If a run of it is at work, or waits, it is that one, and nothing more is begun.
    """
    found = by.app.sync_triggers.trigger(
        name,
        by=by.by,
        force=wanted.force if wanted else False,
        once=(by.token.id, idempotency_key) if idempotency_key is not None else None,
    )
    url = f"/api/v1/syncs/{urllib.parse.quote(found.sync, safe='')}/runs/{found.number}"
    response.headers["location"] = url
    response.headers["retry-after"] = _LOOK_AGAIN_SECONDS
    return TriggerAnswer(sync=found.sync, run=found.number, already=found.already, url=url)


@router.get("/{name}/runs/{number}", responses={200: {"headers": _LATER}, **problems_of()})
def run(
    name: _Name,
    number: _Number,
    response: Response,
    by: Annotated[Caller, Depends(caller(Permission.SYNCS_READ))],
) -> RunAnswer:
    """How a run stands. While it is not over, Retry-After says when to look again."""
    state = by.app.sync_triggers.state(name, number)
    if not state.is_over:
        response.headers["retry-after"] = _LOOK_AGAIN_SECONDS
    return _answer(state)


def _answer(state: RunState) -> RunAnswer:
    run = state.run
    return RunAnswer(
        sync=state.sync,
        run=state.number,
        status=state.status,
        is_over=state.is_over,
        counts=Counts(**{name: getattr(run, name) for name in Counts.model_fields}) if run else None,
        bytes_billed=run.bytes_billed if run else 0,
        error=ErrorAnswer(**{name: state.error.get(name, "") for name in ErrorAnswer.model_fields})
        if state.error
        else None,
        began_at=run.began_at if run else None,
        began_by=run.began_by if run else None,
        finished_at=run.finished_at if run else None,
    )
