"""Persons: who is who by the events in the store, and deleting one."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1 import operations, schemas
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.operations import OperationAnswer
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.shared import ACTING
from tidemill.api.v1.turns import SLOWLY
from tidemill.operations.service import OperationView

router = APIRouter(prefix="/persons", tags=["persons"])
_Reader = Annotated[Caller, Depends(caller(Permission.PERSONS_READ))]
_Deleter = Annotated[Caller, Depends(caller(Permission.PERSONS_DELETE))]
_Id = Annotated[str, Query(min_length=1, max_length=1_000, description="One of the person's distinct_ids.")]
_Team = Annotated[int, Query(ge=0, le=2**63 - 1, description="The person's team.")]


class PersonAnswer(pydantic.BaseModel, from_attributes=True):
    """A person."""

    id: str
    team_id: int
    distinct_ids: list[str]
    properties: str = Field(description="A JSON text.")
    created_at: dt.datetime
    identified: bool
    version: int


class PersonIdsAnswer(pydantic.BaseModel):
    """The ids of a person, also of one that was deleted."""

    distinct_ids: list[str]


class RefusedAnswer(pydantic.BaseModel, from_attributes=True):
    """A change to a person that an event asked for and that was refused. The event itself is kept."""

    seen_at: dt.datetime
    team_id: int
    event_uuid: str
    code: str
    distinct_id: str
    other: str | None = Field(description="Another id, or a property.")


@router.get("", responses=problems_of(), dependencies=[SLOWLY])
def show(distinct_id: _Id, by: _Reader, team_id: _Team = 1) -> PersonAnswer:
    """The person of an id, as all events say."""
    return PersonAnswer.model_validate(by.app.identity.show(team_id, distinct_id))


@router.get("/ids", responses=problems_of(), dependencies=[SLOWLY])
def ids(distinct_id: _Id, by: _Reader, team_id: _Team = 1) -> PersonIdsAnswer:
    """All ids of the person of an id."""
    return PersonIdsAnswer(distinct_ids=list(by.app.identity.ids(team_id, distinct_id)))


@router.get("/refused", responses=problems_of(), dependencies=[SLOWLY])
def refused(
    by: _Reader, limit: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 50
) -> list[RefusedAnswer]:
    """Merges and changes of properties that were refused, newest first."""
    return [_refusal(one) for one in by.app.identity.refusals(limit=limit)]


@router.delete("", status_code=202, responses=ACTING, dependencies=[SLOWLY])
def delete(
    distinct_id: _Id,
    by: _Deleter,
    response: Response,
    team_id: _Team = 1,
    with_events: Annotated[bool, Query(description="Also all its events, here and in all tables.")] = False,
) -> OperationAnswer:
    """Have a worker delete a person here and in the tables of persons, as for a privacy request. It may be asked for
    again, if it has failed: what is left is written down, and goes on."""
    return _deleting(by.app.operations.delete_person(team_id, distinct_id, events=with_events, by=by.by), response)


@router.get("/deletions", responses=problems_of())
def deletions(by: _Reader) -> list[OperationAnswer]:
    """Deletions of persons that are not over, the oldest first: 100 at most."""
    return [_deleting(one, None) for one in by.app.operations.deletions()]


@router.get("/deletions/{operation}", responses={200: {"headers": operations.LATER}, **problems_of()})
def show_deletion(operation: operations.Id, by: _Reader, response: Response) -> OperationAnswer:
    """How a deletion stands. Until it is over, Retry-After says when to look again."""
    return _deleting(by.app.operations.deletion(operation), response)


def _deleting(found: OperationView, response: Response | None) -> OperationAnswer:
    return operations.answer(found, schemas.address("persons", "deletions", str(found.id)), response)


def _refusal(found: Any) -> RefusedAnswer:
    return RefusedAnswer.model_validate({**vars(found), "event_uuid": str(found.event_uuid)})
