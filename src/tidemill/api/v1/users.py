"""People who use the web app. A token manages those alone who may do no more than itself."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, SecretStr

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.access.roles import PERMISSIONS, Role
from tidemill.access.users import SORTS, UserView
from tidemill.api.v1 import pages, schemas, tags
from tidemill.api.v1.access import Caller, assert_lasting, assert_within, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING
from tidemill.api.v1.tags import HEADERS, TAGGED, Match

router = APIRouter(prefix="/users", tags=["users"])
_Reader = Annotated[Caller, Depends(caller(Permission.USERS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.USERS_WRITE))]
_Password = Annotated[
    SecretStr, Field(max_length=1_000, description="It is never answered.", json_schema_extra={"writeOnly": True})
]


class UserWanted(pydantic.BaseModel, extra="forbid"):
    """A new user."""

    name: str = Field(min_length=1, max_length=100, description="By which they sign in.", examples=["anna"])
    role: Role = Field(description="What they may do.")
    password: _Password = Field(repr=False)


class UserChanges(pydantic.BaseModel, extra="forbid"):
    """What is to be changed of a user; what is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=100, description="A new name.")
    role: Role | None = Field(default=None, description="What they may do.")
    disabled: pydantic.StrictBool | None = Field(default=None, description="They may not sign in.")


class PasswordWanted(pydantic.BaseModel, extra="forbid"):
    """Another password."""

    password: _Password = Field(repr=False)


class UserAnswer(pydantic.BaseModel, from_attributes=True):
    """A user."""

    id: uuid.UUID
    name: str
    role: Role
    sign_in: str = Field(description="How they sign in: password, elsewhere (OpenID Connect), both, or none.")
    disabled: bool
    created_at: dt.datetime
    created_by: str


class UserItem(UserAnswer):
    """A user in a list."""

    locked_until: dt.datetime | None = Field(description="If too many passwords were wrong.")
    last_seen_at: dt.datetime | None


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(SORTS)],
    search: pages.Search = None,
    role: Annotated[Role | None, Query(description="Of that role.")] = None,
    disabled: Annotated[bool | None, Query(description="Only such as may not sign in; or only the others.")] = None,
) -> Listed[UserItem]:
    """Users, by name, or as it is asked for."""
    page = by.app.users.page(search=search, role=role, disabled=disabled, wanted=wanted)
    return pages.of(page, UserItem.model_validate)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING})
def create(wanted: UserWanted, by: _Writer, response: Response) -> UserAnswer:
    """Make an account. A token that expires makes none: they would outlive it."""
    assert_lasting(by, "a new account")
    assert_within(by, PERMISSIONS[wanted.role])
    password = wanted.password.get_secret_value()
    made = _answer(by.app.users.create(wanted.name, role=wanted.role, password=password, by=by.by))
    response.headers["location"], response.headers["etag"] = schemas.address("users", made.name), tags.tag(made)
    return made


@router.get("/{name}", response_model=UserAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One user."""
    return tags.answer(_answer(by.app.users.get(name)), request, response)


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING})
def edit(name: Name, changes: UserChanges, by: _Writer, match: Match, response: Response) -> UserAnswer:
    """Change a user. They are signed out, if they may do less."""
    before = _managed(by, name)
    match.check(_answer(before))
    if changes.role is not None:
        assert_within(by, PERMISSIONS[changes.role])
    if changes.disabled is False or (changes.role is not None and PERMISSIONS[changes.role] - PERMISSIONS[before.role]):
        assert_lasting(by, "what the user may do more")
    made = _answer(by.app.users.edit(name, role=changes.role, disabled=changes.disabled, rename=changes.name))
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", status_code=204, responses=CHANGING)
def delete(name: Name, by: _Writer, match: Match) -> None:
    """Delete an account. What they did stays in the audit log."""
    match.check(_answer(_managed(by, name)))
    by.app.users.delete(name)


@router.post("/{name}/password", status_code=204, responses=WRITING)
def set_password(name: Name, wanted: PasswordWanted, by: _Writer) -> None:
    """Give a user another password. They are signed out everywhere. A token that expires sets none."""
    _managed(by, name)
    assert_lasting(by, "the password")
    by.app.users.set_password(name, wanted.password.get_secret_value())


@router.post("/{name}/unlock", status_code=204, responses=ACTING)
def unlock(name: Name, by: _Writer) -> None:
    """Let somebody try again at once who was locked out."""
    _managed(by, name)
    by.app.users.unlock(name)


def _managed(by: Caller, name: str) -> UserView:
    """A user whom the token may manage."""
    found = by.app.users.get(name)
    assert_within(by, PERMISSIONS[found.role])
    return found


def _answer(found: UserView) -> UserAnswer:
    return UserAnswer.model_validate(found)
