"""Channels by which people are told what is wrong. What is secret goes in, and never out."""

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
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING, ReasonAnswer
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.notify.service import CHANNEL_SORTS, ChannelView, MessageView, Tested
from tidemill.notify.spec import NAME_RULE

router = APIRouter(prefix="/channels", tags=["channels"])
_Reader = Annotated[Caller, Depends(caller(Permission.CHANNELS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.CHANNELS_WRITE))]
_SETTINGS = (
    "Of email: to, sender, host, port, security, user, password; of webhook: url, and key (else one is made); "
    "of slack: url."
)
_Names = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=1_000)]


class ChannelChanges(pydantic.BaseModel, extra="forbid"):
    """What is to be changed of a channel; what is left out stays, secrets too."""

    name: str | None = Field(default=None, pattern=NAME_RULE, description="A new name.")
    settings: dict[str, Any] | None = Field(
        default=None, max_length=20, description=_SETTINGS, json_schema_extra={"writeOnly": True}, repr=False
    )
    causes: _Names | None = Field(default=None, description="Of what it is told; empty: of all.")
    exports: _Names | None = Field(default=None, description="Of which exports; see `syncs`.")
    syncs: _Names | None = Field(default=None, description="Of which syncs; if neither has any: of all.")


class ChannelWanted(ChannelChanges):
    """A new channel."""

    name: str = Field(pattern=NAME_RULE, description="A unique name.", examples=["ops"])
    kind: Literal["email", "webhook", "slack"]
    settings: dict[str, Any] = Field(
        max_length=20, description=_SETTINGS, json_schema_extra={"writeOnly": True}, repr=False
    )


class ChannelAnswer(pydantic.BaseModel, from_attributes=True):
    """A channel, without its secret."""

    id: uuid.UUID
    name: str
    kind: str
    to: str = Field(description="Where messages go, without what is secret of that.")
    settings: dict[str, Any] = Field(description="Those that are not secret.")
    causes: list[str] = Field(description="Of what it is told; empty: of all.")
    exports: list[str]
    syncs: list[str]
    made_at: dt.datetime
    made_by: str


class ChannelCreated(ChannelAnswer):
    """A new channel."""

    key: str | None = Field(description="By which a webhook is signed, if it was made here. It is not shown again.")


class ChannelItem(ChannelAnswer):
    """A channel in a list, with how it works."""

    last_sent_at: dt.datetime | None
    waiting: int = Field(description="Messages.")
    given_up: int
    failing_since: dt.datetime | None
    trouble: str | None = Field(description="Why its last try failed.")
    what_to_do: str | None


class MessageAnswer(pydantic.BaseModel, from_attributes=True):
    """A message of a channel."""

    written_at: dt.datetime
    title: str
    status: str = Field(description="sent, waiting or given up.")
    sent_at: dt.datetime | None
    next_try_at: dt.datetime | None
    tries: int
    error: str | None


class ChannelTestAnswer(pydantic.BaseModel):
    """What came of a test message."""

    channel: str
    to: str
    error: ReasonAnswer | None = Field(description="Why somebody has not got it.")


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(CHANNEL_SORTS)],
    search: pages.Search = None,
    kind: Annotated[Literal["email", "webhook", "slack"] | None, Query(description="Of that kind.")] = None,
    failing: Annotated[bool | None, Query(description="Only such as did not work last; or only the others.")] = None,
) -> Listed[ChannelItem]:
    """Channels, by name, or as it is asked for, each with how it works."""
    page = by.app.notify.page(search=search, kind=kind, failing=failing, wanted=wanted)
    return pages.of(page, ChannelItem.model_validate)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING})
def create(wanted: ChannelWanted, by: _Writer, response: Response) -> ChannelCreated:
    """Make a channel."""
    chosen = {"causes": wanted.causes or (), "exports": wanted.exports or (), "syncs": wanted.syncs or ()}
    made, key = by.app.notify.add(wanted.kind, wanted.name, wanted.settings, **chosen, by=by.by)
    answer = _answer(made)
    response.headers["location"], response.headers["etag"] = schemas.address("channels", made.name), tags.tag(answer)
    return ChannelCreated(**dict(answer), key=key)


@router.get("/{name}", response_model=ChannelAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One channel."""
    return tags.answer(_answer(by.app.notify.get(name)), request, response)


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING})
def edit(name: Name, changes: ChannelChanges, by: _Writer, match: Match, response: Response) -> ChannelAnswer:
    """Change a channel."""
    match.check(_answer(by.app.notify.get(name)))
    chosen = {"causes": changes.causes, "exports": changes.exports, "syncs": changes.syncs}
    made = _answer(by.app.notify.edit(name, changes.settings or {}, rename=changes.name, **chosen))
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", status_code=204, responses=CHANGING)
def delete(name: Name, by: _Writer, match: Match) -> None:
    """Delete a channel, with its secret and its messages."""
    match.check(_answer(by.app.notify.get(name)))
    by.app.notify.remove(name)


@router.get("/{name}/messages", responses=problems_of())
def messages(
    name: Name, by: _Reader, limit: Annotated[int, Query(ge=1, le=200, description="How many.")] = 20
) -> list[MessageAnswer]:
    """Its messages, newest first."""
    return [_message(one) for one in by.app.notify.messages(name, limit=limit)]


@router.post("/test", responses=ACTING, dependencies=[SLOWLY])
def test_all(by: _Writer) -> list[ChannelTestAnswer]:
    """Send a test message now by each channel."""
    return [_tested(one) for one in by.app.notify.test()]


@router.post("/{name}/test", responses=ACTING, dependencies=[SLOWLY])
def test(name: Name, by: _Writer) -> ChannelTestAnswer:
    """Send a test message now."""
    return _tested(next(iter(by.app.notify.test(name))))


def _tested(found: Tested) -> ChannelTestAnswer:
    error = found.error
    told = ReasonAnswer(code=error.code, message=error.message, hint=error.hint) if error is not None else None
    return ChannelTestAnswer(channel=found.channel, to=found.to, error=told)


def _message(found: MessageView) -> MessageAnswer:
    return MessageAnswer.model_validate(found)


def _answer(found: ChannelView) -> ChannelAnswer:
    return ChannelAnswer.model_validate(found)
