"""What is sent and answered: users. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class PasswordWanted(Wanted):
    """Another password."""

    password: str = pydantic.Field(description="It is never answered.", repr=False)


class UserAnswer(Model):
    """A user."""

    id: UUID
    name: str
    role: str
    sign_in: str = pydantic.Field(description="How they sign in: password, elsewhere (OpenID Connect), both, or none.")
    disabled: bool
    created_at: datetime
    created_by: str


class UserChanges(Wanted):
    """What is to be changed of a user; what is left out stays."""

    name: str | None = pydantic.Field(default=None, description="A new name.")
    role: Literal["admin", "editor", "viewer"] | None = pydantic.Field(default=None, description="What they may do.")
    disabled: bool | None = pydantic.Field(default=None, description="They may not sign in.")


class UserItem(Model):
    """A user in a list."""

    id: UUID
    name: str
    role: str
    sign_in: str = pydantic.Field(description="How they sign in: password, elsewhere (OpenID Connect), both, or none.")
    disabled: bool
    created_at: datetime
    created_by: str
    locked_until: datetime | None = pydantic.Field(description="If too many passwords were wrong.")
    last_seen_at: datetime | None


class UserWanted(Wanted):
    """A new user."""

    name: str = pydantic.Field(description="By which they sign in.")
    role: Literal["admin", "editor", "viewer"] = pydantic.Field(description="What they may do.")
    password: str = pydantic.Field(description="It is never answered.", repr=False)
