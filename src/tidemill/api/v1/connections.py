"""Connections: a BigQuery project and dataset, with the credential for it. What is secret goes in, and never out."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
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
from tidemill.api.v1.shared import StepAnswer, StepsAnswer, stepped
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.connection_users import SORTS
from tidemill.connections.service import Connection, Draft
from tidemill.connections.spec import ConnectionSpec
from tidemill.connections.standing import Standing

router = APIRouter(prefix="/connections", tags=["connections"])
google = APIRouter(prefix="/set-up", tags=["connections"])
egress = APIRouter(prefix="/egress-ips", tags=["connections"])
Reader = Annotated[Caller, Depends(caller(Permission.CONNECTIONS_READ))]
Writer = Annotated[Caller, Depends(caller(Permission.CONNECTIONS_WRITE))]
Use = Literal["batch", "streaming"]
_Purpose = Literal["batch", "streaming", "read-only", "limited", "full"]
_Use = Annotated[Use, Query(description="What it is for: exports by runs, or streams, which need other permissions.")]
_WRITING = problems_of(400, 408, 409, 413, 415)
_CHANGING = problems_of(400, 408, 409, 412, 413, 415, 428)
_WAITS_SECONDS = 60
_State = Literal["ready", "failing", "untested", "being deleted"]
_KEY = "The service account key: the JSON file's content, as an object or as a text. It is never answered."


class ConnectionWanted(pydantic.BaseModel, extra="forbid"):
    """A new connection: with a service account key, or with the credentials of the server's machine."""

    name: str = schemas.of(ConnectionSpec, "name", examples=["warehouse"])
    dataset: str = Field(
        min_length=1, max_length=1_100, description="Dataset id; or project.dataset.", examples=["analytics"]
    )
    project: str | None = Field(default=None, max_length=100, description="Google Cloud project id; else the key's.")
    location: str | None = schemas.of(ConnectionSpec, "location", None, max_length=100)
    key: pydantic.SecretStr | dict[str, Any] | None = Field(
        default=None, description=_KEY, json_schema_extra={"writeOnly": True}, repr=False
    )
    adc: pydantic.StrictBool = schemas.of(ConnectionSpec, "adc", default=False)
    impersonate: str | None = schemas.of(ConnectionSpec, "impersonate", None)


class ConnectionChanges(pydantic.BaseModel, extra="forbid"):
    """What is to be changed of a connection; what is left out stays."""

    name: str | None = schemas.of(ConnectionSpec, "name", None, description="A new name.")
    dataset: str | None = Field(default=None, min_length=1, max_length=1_100, description="Another dataset.")
    project: str | None = Field(default=None, max_length=100, description="Another project.")
    location: str | None = schemas.of(ConnectionSpec, "location", None, max_length=100)
    key: pydantic.SecretStr | dict[str, Any] | None = Field(
        default=None, description=_KEY, json_schema_extra={"writeOnly": True}, repr=False
    )
    adc: pydantic.StrictBool | None = schemas.of(ConnectionSpec, "adc", None)
    impersonate: str | None = schemas.of(ConnectionSpec, "impersonate", None)


class ConnectionAnswer(pydantic.BaseModel, from_attributes=True):
    """A connection, without its secret."""

    id: uuid.UUID
    name: str
    project: str
    dataset: str
    location: str | None = Field(description="Where the dataset is; null: that could not be asked yet.")
    credential: str = Field(description="In words, how it signs in.")
    account: str | None = Field(description="The service account, by its e-mail address.")
    connected_at: dt.datetime
    connected_by: str
    updated_at: dt.datetime
    deleting_at: dt.datetime | None = Field(description="Since when it is being deleted: nothing new is begun on it.")
    deleting_by: str | None


class StandingAnswer(pydantic.BaseModel, from_attributes=True):
    """How a connection stands: by its last test, and by what used it since."""

    state: _State = Field(description="untested: nothing is known since it was made, or became another one.")
    at: dt.datetime | None = Field(description="When that was seen last.")
    message: str = Field(description="By what; or what is wrong.")
    hint: str = Field(description="What to do.")


class ConnectionTestAnswer(pydantic.BaseModel, from_attributes=True):
    """The last test of a connection."""

    at: dt.datetime
    use: Use
    passed: bool
    steps: list[StepAnswer]


class FailureAnswer(pydantic.BaseModel, from_attributes=True):
    """What used a connection, and failed because of it."""

    kind: str = Field(description="export, stream, sync or import.")
    name: str
    at: dt.datetime
    code: str
    message: str
    hint: str


class ConnectionStatus(StandingAnswer):
    """How a connection stands, and what is known of it."""

    test: ConnectionTestAnswer | None = Field(description="The last; null: it was not tested.")
    succeeded_at: dt.datetime | None = Field(description="When something that used it last went well.")
    failure: FailureAnswer | None = Field(description="The newest of what has not gone well since.")


class ConnectionItem(ConnectionAnswer):
    """A connection in a list."""

    status: StandingAnswer
    used_by: dict[str, int] = Field(
        description="How many of each kind use it: export, stream, sync, import, model, dbt project."
    )


class UseAnswer(pydantic.BaseModel, from_attributes=True):
    """Something that uses a connection."""

    kind: str
    name: str
    at_work: list[str] = Field(description="What of it runs now, or did when its process ended.")


class DeletedAnswer(pydantic.BaseModel):
    """What was deleted."""

    connection: str
    uses: list[UseAnswer] = Field(description="What was deleted with it.")
    remarks: list[str] = Field(description="What is to be known of that.")


class DatasetAnswer(pydantic.BaseModel):
    """A dataset that the account of a connection may see."""

    name: str
    location: str


class ConnectionCreate(ConnectionWanted):
    """A new connection, as it is saved."""

    create_dataset: pydantic.StrictBool = Field(
        default=False, description="Make the dataset, at the location, if there is none."
    )


class CommandsAnswer(pydantic.BaseModel, from_attributes=True):
    """Commands that belong together."""

    title: str
    text: str


class GoogleSetUpAnswer(pydantic.BaseModel, from_attributes=True):
    """What is to be set up on Google's side, in one of three ways."""

    commands: list[CommandsAnswer]
    console: list[str] = Field(description="Steps in Google's console.")
    terraform: str


class EgressAnswer(pydantic.BaseModel):
    """From where this installation reaches others."""

    networks: list[str] = Field(description="Addresses and networks; empty: it is not said.")
    commands: list[str] = Field(description="What lets them through a perimeter of VPC Service Controls.")


class SetUpAnswer(pydantic.BaseModel):
    """What is to be granted on Google's side, and nothing else."""

    commands: list[str] = Field(description="Commands, and statements for BigQuery, in order.")
    allow_list: list[str] = Field(description="Commands that let this server through VPC Service Controls; if known.")


@router.get("", responses=problems_of())
def find(
    by: Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(SORTS, "connected_at")],
    search: pages.Search = None,
    connected_after: Annotated[pydantic.AwareDatetime | None, Query(description="Made then, or later.")] = None,
    connected_before: Annotated[pydantic.AwareDatetime | None, Query(description="Made before that.")] = None,
    connected_by: Annotated[str | None, Query(max_length=200, description="Made by that user.")] = None,
    used_by: Annotated[
        Literal["export", "sync", "import", "nothing"] | None, Query(description="That such a thing uses.")
    ] = None,
) -> Listed[ConnectionItem]:
    """Connections, oldest first, or as it is asked for."""
    page = by.app.connection_users.page(
        search=search, after=connected_after, before=connected_before, by=connected_by, used_by=used_by, wanted=wanted
    )
    return pages.of(page, _item)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **_WRITING}, dependencies=[SLOWLY])
def create(wanted: ConnectionCreate, by: Writer, response: Response) -> ConnectionAnswer:
    """Save a new connection. It is not tested: see the test."""
    draft = _draft(by, wanted)
    if wanted.create_dataset:
        by.app.connections.assert_free(wanted.name)
        by.app.connections.create_dataset(draft, wanted.location)
    return _made(by.app.connections.add(draft, by=by.by), response)


@router.post("/test", responses=problems_of(400, 408, 413, 415), dependencies=[SLOWLY])
def test_draft(wanted: ConnectionWanted, by: Writer, use: _Use = "batch") -> StepsAnswer:
    """Test a connection that is not saved."""
    draft = _draft(by, wanted)
    return stepped(by.app.connections.test_draft(draft, use))


@router.get("/{name}", response_model=ConnectionAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: Reader, request: Request, response: Response) -> Any:
    """One connection."""
    return tags.answer(_answer(by.app.connections.get(name)), request, response)


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **_CHANGING}, dependencies=[SLOWLY])
def edit(name: Name, changes: ConnectionChanges, by: Writer, match: Match, response: Response) -> ConnectionAnswer:
    """Change a connection: for what is begun from now on."""
    saved = by.app.connections.get(name)
    match.check(_answer(saved))
    given = {field: getattr(changes, field) for field in changes.model_fields_set - {"key", "name"}}
    draft = by.app.connections.changed(name, rename=changes.name, key=_text(changes.key), **given)
    return _made(by.app.connections.save(name, draft, as_of=saved.updated_at), response)


@router.delete("/{name}", responses=_CHANGING, dependencies=[SLOWLY])
def delete(
    name: Name,
    by: Writer,
    match: Match,
    with_uses: Annotated[bool, Query(description="Stop and delete all that uses it, too; else it is refused.")] = False,
    wait_seconds: Annotated[
        float, Query(ge=0, le=_WAITS_SECONDS, description="With uses: so long it is waited until they have stopped.")
    ] = 30,
    force: Annotated[bool, Query(description="With uses: also if BigQuery does not answer.")] = False,
) -> DeletedAnswer:
    """Delete a connection and its credential; the data in BigQuery stays."""
    saved = by.app.connections.get(name)
    match.check(_answer(saved))
    if not with_uses:
        by.app.connections.delete(name, as_of=saved.updated_at)
        return DeletedAnswer(connection=saved.name, uses=[], remarks=[])
    done = by.app.connection_users.delete(name, by=by.by, say=_silent, wait_seconds=wait_seconds, force=force)
    uses = [UseAnswer.model_validate(use) for use in done.uses]
    return DeletedAnswer(connection=done.connection, uses=uses, remarks=list(done.remarks))


@router.get("/{name}/status", responses=problems_of())
def status(name: Name, by: Reader) -> ConnectionStatus:
    """How a connection stands: its last test, step by step, and what became of what used it since."""
    return ConnectionStatus.model_validate(by.app.connection_users.standing(name))


@router.get("/{name}/uses", responses=problems_of())
def uses(name: Name, by: Reader) -> list[UseAnswer]:
    """What uses a connection, and what of it is at work."""
    return [UseAnswer.model_validate(use) for use in by.app.connection_users.uses(name)]


@router.post("/{name}/test", responses=problems_of(408, 409, 413, 415), dependencies=[SLOWLY])
def test(name: Name, by: Writer, use: _Use = "batch") -> StepsAnswer:
    """Test a connection, step by step: each that fails says what to do. A small table is made in its dataset, filled,
    and deleted. What was found is kept: see the status."""
    return stepped(by.app.connections.test(name, use))


@router.get("/{name}/datasets", responses=problems_of(409), dependencies=[SLOWLY])
def datasets(name: Name, by: Reader) -> list[DatasetAnswer]:
    """The datasets that its account may see."""
    return [DatasetAnswer(name=found, location=place) for found, place in by.app.connections.datasets(name)]


@router.get("/{name}/set-up", responses=problems_of())
def set_up(name: Name, by: Reader, request: Request, use: _Use = "batch") -> SetUpAnswer:
    """What is to be granted to its account, as commands."""
    saved, settings = by.app.connections.get(name), request.app.state.opened.settings
    commands = by.app.connections.grants(saved.project, saved.dataset, saved.account, use)
    return SetUpAnswer(commands=commands, allow_list=by.app.connections.allow_list(settings))


@egress.get("", responses=problems_of())
def addresses(by: Reader, request: Request) -> EgressAnswer:
    """From which addresses this installation reaches Google and others, for their allow-lists. Nothing is asked of the
    network: they are those of the setting egress_ips."""
    commands = by.app.connections.allow_list(request.app.state.opened.settings)
    return EgressAnswer(networks=list(by.app.connections.egress().networks), commands=commands)


@google.get("", responses=problems_of(400))
def set_up_of(
    by: Reader,
    project: Annotated[str, Query(min_length=1, max_length=100, description="Google Cloud project id.")],
    dataset: Annotated[str, Query(min_length=1, max_length=1_100, description="Dataset id.")],
    account: Annotated[
        str | None, Query(max_length=300, description="E-mail of the service account; else one is made.")
    ] = None,
    purpose: Annotated[_Purpose, Query(description="Exports by runs or streams; or sources, as they may be read.")] = (
        "batch"
    ),
    location: Annotated[str | None, Query(max_length=100, description="Where the dataset is, such as EU.")] = None,
    state_dataset: Annotated[str | None, Query(max_length=1_024, description="Of a limited source.")] = None,
) -> GoogleSetUpAnswer:
    """What is to be set up in Google Cloud for a connection that is not saved yet. Nothing is granted by this."""
    places = {"location": location, "state_dataset": state_dataset}
    found = by.app.connections.set_up(project, dataset, account, purpose, **places)
    return GoogleSetUpAnswer.model_validate(found)


def _silent(_text: str) -> None:
    """Nobody is told meanwhile."""


def _draft(by: Caller, wanted: ConnectionWanted) -> Draft:
    return by.app.connections.draft(**wanted.model_dump(exclude={"key", "create_dataset"}), key=_text(wanted.key))


def _text(key: pydantic.SecretStr | Mapping[str, Any] | None) -> str | None:
    if key is None or isinstance(key, pydantic.SecretStr):
        return key.get_secret_value() if key is not None else None
    return json.dumps(key)


def _answer(saved: Connection) -> ConnectionAnswer:
    return ConnectionAnswer.model_validate(saved)


def _made(saved: Connection, response: Response) -> ConnectionAnswer:
    made = _answer(saved)
    response.headers["etag"], response.headers["location"] = tags.tag(made), schemas.address("connections", made.name)
    return made


def _item(found: tuple[Connection, Mapping[str, int], Standing]) -> ConnectionItem:
    saved, counts, standing = found
    return ConnectionItem(
        **_answer(saved).model_dump(),
        status=StandingAnswer.model_validate(standing),
        used_by={kind: n for kind, n in counts.items() if n},
    )
