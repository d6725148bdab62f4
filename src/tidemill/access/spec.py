"""What a user says of a token; validated here."""

from __future__ import annotations

import pydantic
from pydantic import Field

from tidemill.access.permissions import Permission

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"


class TokenSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A token by which a program may use the API."""

    name: str = Field(pattern=NAME_RULE, description="Name of the token, by which it is revoked.")
    scopes: tuple[Permission, ...] = Field(min_length=1, description="What it may do.")
    expires_seconds: int | None = Field(
        default=None, ge=1, le=100 * 366 * 86_400, description="How long it is good; None: until it is revoked."
    )
