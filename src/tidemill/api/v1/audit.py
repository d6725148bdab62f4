"""The audit log: who did what, when, from where; before and after, without secrets."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.shared import LINES, AsForm, lines
from tidemill.api.v1.turns import SLOWLY

router = APIRouter(prefix="/audit", tags=["audit"])
_Reader = Annotated[Caller, Depends(caller(Permission.AUDIT_READ))]


class AuditRecord(pydantic.BaseModel, from_attributes=True):
    """One thing that somebody did, or was refused."""

    id: int
    at: dt.datetime
    actor: str
    actor_kind: str = Field(description="user, token or shell.")
    address: str = Field(description="From where; empty: this machine.")
    action: str
    kind: str = Field(description="Of what was changed.")
    name: str
    outcome: str = Field(description="begun (and no more is known), done, refused, failed.")
    code: str = Field(description="Of the error.")
    details: dict[str, Any]
    before: Any
    after: Any


class _Filter(pydantic.BaseModel):
    """Which records."""

    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    name: str | None = None
    outcome: str | None = None
    after: dt.datetime | None = None
    before: dt.datetime | None = None


_Text = Annotated[str | None, Query(max_length=300, pattern=schemas.STORABLE, description="Just that.")]
_Moment = Annotated[pydantic.AwareDatetime | None, Query(description="A time.")]


def _filter(
    actor: _Text = None,
    action: _Text = None,
    kind: _Text = None,
    name: _Text = None,
    outcome: Annotated[Literal["begun", "done", "refused", "failed"] | None, Query(description="Just that.")] = None,
    after: _Moment = None,
    before: _Moment = None,
) -> _Filter:
    return _Filter(actor=actor, action=action, kind=kind, name=name, outcome=outcome, after=after, before=before)


_Which = Annotated[_Filter, Depends(_filter)]


@router.get("", responses=problems_of())
def find(
    by: _Reader, wanted: Annotated[paging.Wanted, pages.sorted_by(("at",), "-at")], which: _Which
) -> Listed[AuditRecord]:
    """Records, newest first, or as it is asked for."""
    return pages.of(by.app.audit.page(wanted, **which.model_dump()), AuditRecord.model_validate)


@router.get("/export", response_class=StreamingResponse, responses={**LINES, **problems_of()}, dependencies=[SLOWLY])
def export(by: _Reader, which: _Which, form: AsForm = "json") -> StreamingResponse:
    """All records that are so, newest first, as they are read."""
    return lines(by.app.audit.export(form, **which.model_dump()), form)
