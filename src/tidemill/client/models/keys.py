"""What is sent and answered: keys. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class KeyAnswer(Model):
    """A key, of which only the start is known."""

    id: UUID
    name: str
    team_id: int
    start: str
    events_per_second: int | None
    created_at: datetime
    created_by: str
    revoked_at: datetime | None


class KeyCreated(Model):
    """A new key."""

    id: UUID
    name: str
    team_id: int
    start: str
    events_per_second: int | None
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    key: str = pydantic.Field(description="It is not shown again.")


class KeyWanted(Wanted):
    """A new key."""

    name: str | None = pydantic.Field(default=None, description="Name of the key, by which it is revoked.")
    team_id: int = pydantic.Field(default=1, description="Team (project) of all events that are sent by it.")
    events_per_second: int | None = pydantic.Field(
        default=None, description="How many events it may send; None: as many as come."
    )
