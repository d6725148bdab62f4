"""What is sent and answered: tokens. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class TokenAnswer(Model):
    """A token, of which only the start is known."""

    id: UUID
    name: str
    start: str
    scopes: list[str]
    expires_at: datetime | None = pydantic.Field(description="null: it does not.")
    created_at: datetime
    created_by: str
    revoked_at: datetime | None


class TokenCreated(Model):
    """A new token."""

    id: UUID
    name: str
    start: str
    scopes: list[str]
    expires_at: datetime | None = pydantic.Field(description="null: it does not.")
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    token: str = pydantic.Field(description="It is not shown again.")


class TokenWanted(Wanted):
    """A new token."""

    name: str = pydantic.Field(description="Name of the token, by which it is revoked.")
    scopes: list[
        Literal[
            "connections:read",
            "connections:write",
            "exports:read",
            "exports:write",
            "models:read",
            "models:write",
            "destinations:read",
            "destinations:write",
            "syncs:read",
            "syncs:write",
            "syncs:trigger",
            "imports:read",
            "imports:write",
            "dbt:read",
            "dbt:write",
            "dbt:run",
            "dbt:check",
            "events:read",
            "events:write",
            "persons:read",
            "persons:delete",
            "keys:read",
            "keys:write",
            "channels:read",
            "channels:write",
            "tokens:read",
            "tokens:write",
            "users:read",
            "users:write",
            "audit:read",
            "health:read",
        ]
    ] = pydantic.Field(description="What it may do.")
    expires_seconds: int | None = pydantic.Field(
        default=None, description="How long it is good; None: until it is revoked."
    )
