"""What is sent and answered: persons. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime

import pydantic

from tidemill.client.core import Model


class PersonAnswer(Model):
    """A person."""

    id: str
    team_id: int
    distinct_ids: list[str]
    properties: str = pydantic.Field(description="A JSON text.")
    created_at: datetime
    identified: bool
    version: int


class PersonIdsAnswer(Model):
    """The ids of a person, also of one that was deleted."""

    distinct_ids: list[str]


class RefusedAnswer(Model):
    """A change to a person that an event asked for and that was refused. The event itself is kept."""

    seen_at: datetime
    team_id: int
    event_uuid: str
    code: str
    distinct_id: str
    other: str | None = pydantic.Field(description="Another id, or a property.")
