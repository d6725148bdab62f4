"""Sources: connections that rows are read from, for syncs and imports."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, WRITING, StepsAnswer, stepped
from tidemill.api.v1.turns import SLOWLY
from tidemill.paging import cut
from tidemill.reverse_etl.service import SourceSpec, SourceView

router = APIRouter(prefix="/sources", tags=["sources"])
_Reader = Annotated[Caller, Depends(caller(Permission.CONNECTIONS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.CONNECTIONS_WRITE))]
_Access = Literal["full", "limited", "read-only"]


class SourceWanted(pydantic.BaseModel, extra="forbid"):
    """How a connection is a source. Of one that is one already, what is left out stays."""

    access: _Access | None = schemas.of(SourceSpec, "access", None)
    state_dataset: str | None = schemas.of(SourceSpec, "state_dataset", None)


class SourceAnswer(pydantic.BaseModel, from_attributes=True):
    """A connection that is a source."""

    connection: str = Field(description="Its name.")
    project: str
    dataset: str
    location: str | None
    access: str
    state_dataset: str | None = Field(description="Where what was delivered is remembered; null: in this installation.")
    account: str | None
    models: list[str] = Field(description="Source models that use it.")
    made_at: dt.datetime
    made_by: str


class GrantsAnswer(pydantic.BaseModel, from_attributes=True):
    """What gives an account what a source needs, and nothing else."""

    statements: list[str] = Field(description="Commands, and statements for BigQuery, in order.")
    faster: list[str] = Field(description="What is needed for speed alone.")


@router.get("", responses=problems_of())
def find(by: _Reader, wanted: Wanted) -> Listed[SourceAnswer]:
    """All sources, by the names of their connections."""
    found = by.app.reverse_etl.sources.find()
    return pages.of(cut(found, lambda one: one.connection, "sources", wanted), _answer)


@router.get("/{name}", responses=problems_of())
def show(name: Name, by: _Reader) -> SourceAnswer:
    """The source that a connection is."""
    return _answer(by.app.reverse_etl.sources.get(name))


@router.post("/{name}/enable", responses=WRITING, dependencies=[SLOWLY])
def enable(name: Name, by: _Writer, wanted: SourceWanted | None = None) -> StepsAnswer:
    """Test a connection as a source, step by step; unless a step fails, it is one then."""
    fields = wanted.model_dump(exclude_none=True) if wanted is not None else {}
    return stepped(by.app.reverse_etl.sources.enable(name, fields, by=by.by))


@router.post("/{name}/test", responses=ACTING, dependencies=[SLOWLY])
def test(name: Name, by: _Writer) -> StepsAnswer:
    """Test a source, step by step: each that fails says what to do."""
    return stepped(by.app.reverse_etl.sources.test(name))


@router.post("/{name}/disable", status_code=204, responses=ACTING)
def disable(name: Name, by: _Writer) -> None:
    """The connection is no source any more. Refused while source models use it; its state dataset stays."""
    by.app.reverse_etl.sources.disable(name)


@router.get("/{name}/set-up", responses=problems_of())
def set_up(
    name: Name,
    by: _Reader,
    access: Annotated[_Access, Query(description="How much it may do.")] = "full",
    state_dataset: Annotated[str | None, Query(max_length=1_024, description="Where the state is to be.")] = None,
) -> GrantsAnswer:
    """What is to be granted to the account of a connection, so that it can be a source."""
    saved = by.app.connections.get(name)
    found = by.app.reverse_etl.sources.grants(saved.project, saved.account, access, state_dataset, saved.location)
    return GrantsAnswer.model_validate(found)


def _answer(found: SourceView) -> SourceAnswer:
    return SourceAnswer.model_validate(found)
