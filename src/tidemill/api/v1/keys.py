"""Keys by which SDKs send events. A key is answered once, when it is made."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.access import Caller, assert_lasting, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, WRITING
from tidemill.capture.service import SORTS, KeyView
from tidemill.capture.spec import KeySpec

router = APIRouter(prefix="/keys", tags=["keys"])
_Reader = Annotated[Caller, Depends(caller(Permission.KEYS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.KEYS_WRITE))]


class KeyWanted(pydantic.BaseModel, extra="forbid"):
    """A new key."""

    name: str | None = schemas.of(KeySpec, "name", None)
    team_id: int = schemas.of(KeySpec, "team_id", 1)
    events_per_second: int | None = schemas.of(KeySpec, "events_per_second", None)


class KeyAnswer(pydantic.BaseModel, from_attributes=True):
    """A key, of which only the start is known."""

    id: uuid.UUID
    name: str
    team_id: int
    start: str
    events_per_second: int | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None


class KeyCreated(KeyAnswer):
    """A new key."""

    key: str = Field(description="It is not shown again.")


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(SORTS)],
    search: pages.Search = None,
    state: Annotated[
        Literal["valid", "revoked"] | None, Query(description="Only those, whatever `revoked` says.")
    ] = None,
    revoked: Annotated[bool, Query(description="Those too that are revoked.")] = False,
) -> Listed[KeyAnswer]:
    """Keys, by name, or as it is asked for."""
    return pages.of(by.app.keys.page(search=search, state=state, revoked=revoked, wanted=wanted), _answer)


@router.post("", status_code=201, responses=WRITING)
def create(wanted: KeyWanted, by: _Writer) -> KeyCreated:
    """Make a key. It is shown this once. A token that expires makes none: it would outlive it."""
    assert_lasting(by, "a key")
    key, made = by.app.keys.create(**wanted.model_dump(), by=by.by)
    return KeyCreated(**dict(_answer(made)), key=key)


@router.post("/{name}/revoke", responses=ACTING)
def revoke(name: Name, by: _Writer) -> KeyAnswer:
    """Nothing that is sent by that key from now on is taken."""
    return _answer(by.app.keys.revoke(name))


def _answer(found: KeyView) -> KeyAnswer:
    return KeyAnswer.model_validate(found)
