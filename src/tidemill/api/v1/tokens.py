"""Tokens by which programs use this API. A token is answered once; none makes one that may do more than itself."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.access.service import SORTS, TokenView
from tidemill.access.spec import TokenSpec
from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.access import Caller, assert_not_longer, assert_within, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, WRITING

router = APIRouter(prefix="/tokens", tags=["tokens"])
_Reader = Annotated[Caller, Depends(caller(Permission.TOKENS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.TOKENS_WRITE))]


class TokenWanted(pydantic.BaseModel, extra="forbid"):
    """A new token."""

    name: str = schemas.of(TokenSpec, "name", examples=["airflow"])
    scopes: list[Permission] = Field(min_length=1, max_length=100, description="What it may do.")
    expires_seconds: int | None = schemas.of(TokenSpec, "expires_seconds", None)


class TokenAnswer(pydantic.BaseModel, from_attributes=True):
    """A token, of which only the start is known."""

    id: uuid.UUID
    name: str
    start: str
    scopes: list[str]
    expires_at: dt.datetime | None = Field(description="null: it does not.")
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None


class TokenCreated(TokenAnswer):
    """A new token."""

    token: str = Field(description="It is not shown again.")


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(SORTS)],
    search: pages.Search = None,
    state: Annotated[
        Literal["valid", "expired", "revoked"] | None, Query(description="Only those, whatever `revoked` says.")
    ] = None,
    revoked: Annotated[bool, Query(description="Those too that are revoked.")] = False,
) -> Listed[TokenAnswer]:
    """Tokens, by name, or as it is asked for."""
    return pages.of(by.app.tokens.page(search=search, state=state, revoked=revoked, wanted=wanted), _answer)


@router.post("", status_code=201, responses=WRITING)
def create(wanted: TokenWanted, by: _Writer) -> TokenCreated:
    """Make a token, of scopes that the asking one has, too. It is shown this once."""
    assert_within(by, wanted.scopes)
    seconds = wanted.expires_seconds
    assert_not_longer(by, seconds)
    token, made = by.app.tokens.create(name=wanted.name, scopes=wanted.scopes, expires_seconds=seconds, by=by.by)
    return TokenCreated(**dict(_answer(made)), token=token)


@router.post("/{name}/revoke", responses=ACTING)
def revoke(name: Name, by: _Writer) -> TokenAnswer:
    """Nothing is done by that token from now on."""
    return _answer(by.app.tokens.revoke(name))


def _answer(found: TokenView) -> TokenAnswer:
    return TokenAnswer.model_validate(found)
