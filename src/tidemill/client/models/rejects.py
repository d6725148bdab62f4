"""What is sent and answered: rejects. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime

import pydantic

from tidemill.client.core import Model, Wanted


class DismissedAnswer(Model):
    """How many are listed no longer."""

    dismissed: int


class RejectAnswer(Model):
    """A row that a run could not deliver."""

    id: int
    export: str
    run: str = pydantic.Field(description="Beginning of the run's id.")
    uuid: str = pydantic.Field(description="Of the event, or the id of the row.")
    code: str
    message: str
    text: str = pydantic.Field(description="The beginning of what it holds.")
    set_aside_at: datetime


class RejectsWanted(Wanted):
    """Which rows."""

    run: str | None = pydantic.Field(default=None, description="Those of that run.")
    code: str | None = pydantic.Field(default=None, description="Those that were set aside for this.")
