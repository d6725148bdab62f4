"""What is sent and answered: event loads. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pydantic

from tidemill.client.core import Model
from tidemill.client.models.shared import ReasonAnswer


class EventLoadAnswer(Model):
    """A file that is loaded, or waits for it."""

    id: UUID
    file: str
    status: str = pydantic.Field(description="waiting (for a worker), running, completed, failed or cancelled.")
    is_over: bool = pydantic.Field(description="It stays like that.")
    format: str = pydantic.Field(description="As it is read; auto: that is not known yet.")
    team_id: int | None = pydantic.Field(description="Of all events; null: each event's own.")
    bytes: int
    bytes_read: int
    rows: int = pydantic.Field(description="Events that were added; since the last worker took it, if one was killed.")
    duplicates: int = pydantic.Field(description="Events that were in the store already; once it is completed.")
    rejects: int = pydantic.Field(description="Lines that were set aside; once it is completed.")
    already_loaded: bool = pydantic.Field(description="The same file was loaded before; nothing was to add.")
    notes: list[str]
    by: str
    at: datetime
    finished_at: datetime | None
    error: ReasonAnswer | None = pydantic.Field(description="Why it failed, or what it waits for.")
