"""Destinations: accounts of tools that rows are delivered to. What is secret goes in, and never out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

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
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.reverse_etl.service import ACCOUNT_SORTS, NAME_RULE, AccountView

router = APIRouter(prefix="/destinations", tags=["destinations"])
_Reader = Annotated[Caller, Depends(caller(Permission.DESTINATIONS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.DESTINATIONS_WRITE))]
_SETTINGS = "Settings of the kind: see GET /destination-kinds/{name}. Secrets among them are never answered."
_MOST = 100


class DestinationWanted(pydantic.BaseModel, extra="forbid"):
    """A new destination."""

    name: str = Field(pattern=NAME_RULE, description="A unique name.", examples=["hook"])
    kind: str = Field(min_length=1, max_length=100, description="Name of its kind.", examples=["webhook"])
    settings: dict[str, Any] = Field(
        max_length=_MOST, description=_SETTINGS, json_schema_extra={"writeOnly": True}, repr=False
    )


class DestinationDraft(pydantic.BaseModel, extra="forbid"):
    """A destination that is not saved."""

    kind: str = Field(min_length=1, max_length=100, description="Name of its kind.", examples=["webhook"])
    settings: dict[str, Any] = Field(
        max_length=_MOST, description=_SETTINGS, json_schema_extra={"writeOnly": True}, repr=False
    )


class DestinationChanges(pydantic.BaseModel, extra="forbid"):
    """What is to be changed of a destination; what is left out stays, secrets too."""

    name: str | None = Field(default=None, pattern=NAME_RULE, description="A new name.")
    settings: dict[str, Any] | None = Field(
        default=None, max_length=_MOST, description=_SETTINGS, json_schema_extra={"writeOnly": True}, repr=False
    )


class DestinationAnswer(pydantic.BaseModel, from_attributes=True):
    """A destination, without its secrets."""

    id: uuid.UUID
    name: str
    kind: str
    title: str = Field(description="What its kind is called.")
    account: str = Field(description="Which account it is.")
    settings: dict[str, Any] = Field(description="Those that are not secret.")
    secrets: list[str] = Field(description="Names of settings that are kept secret.")
    syncs: list[str] = Field(description="Which deliver to it.")
    made_at: dt.datetime
    made_by: str


class SaidAnswer(pydantic.BaseModel):
    """What a destination says of the credential."""

    said: str


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(ACCOUNT_SORTS)],
    search: pages.Search = None,
    kind: Annotated[str | None, Query(max_length=100, description="Of that kind.")] = None,
) -> Listed[DestinationAnswer]:
    """Destinations, by name, or as it is asked for."""
    return pages.of(by.app.reverse_etl.listed.destinations(search=search, kind=kind, wanted=wanted), _answer)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING})
def create(wanted: DestinationWanted, by: _Writer, response: Response) -> DestinationAnswer:
    """Save a destination. Its credential is not tested: see the test."""
    accounts = by.app.reverse_etl.destinations
    made = _answer(accounts.add(wanted.kind, wanted.name, accounts.make(wanted.kind, wanted.settings), by=by.by))
    response.headers["location"] = schemas.address("destinations", made.name)
    response.headers["etag"] = tags.tag(made)
    return made


@router.post("/test", responses=WRITING, dependencies=[SLOWLY])
def test_draft(wanted: DestinationDraft, by: _Writer) -> SaidAnswer:
    """Ask the tool who a credential is that is not saved."""
    accounts = by.app.reverse_etl.destinations
    return SaidAnswer(said=accounts.test(wanted.kind, accounts.make(wanted.kind, wanted.settings)))


@router.get("/{name}", response_model=DestinationAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One destination."""
    return tags.answer(_answer(by.app.reverse_etl.destinations.get(name)), request, response)


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING})
def edit(name: Name, changes: DestinationChanges, by: _Writer, match: Match, response: Response) -> DestinationAnswer:
    """Change a destination."""
    accounts = by.app.reverse_etl.destinations
    match.check(_answer(accounts.get(name)))
    settings: Mapping[str, Any] = changes.settings or {}
    made = accounts.changed(name, settings, renames=changes.name is not None)
    saved = _answer(accounts.save(name, made, rename=changes.name))
    response.headers["etag"] = tags.tag(saved)
    return saved


@router.delete("/{name}", status_code=204, responses=CHANGING)
def delete(name: Name, by: _Writer, match: Match) -> None:
    """Delete a destination and its secrets. Refused while syncs use it."""
    match.check(_answer(by.app.reverse_etl.destinations.get(name)))
    by.app.reverse_etl.destinations.delete(name)


@router.post("/{name}/test", responses=ACTING, dependencies=[SLOWLY])
def test(name: Name, by: _Writer) -> SaidAnswer:
    """Ask the tool who the credential is. Some are sent a message, or a row that is deleted again."""
    return SaidAnswer(said=by.app.reverse_etl.destinations.test_saved(name))


def _answer(found: AccountView) -> DestinationAnswer:
    return DestinationAnswer.model_validate(found)
