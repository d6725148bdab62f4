"""What is sent and answered: hooks. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime

import pydantic

from tidemill.client.core import Model


class HookAnswer(Model):
    """A hook, of which only the start is known."""

    start: str
    created_at: datetime
    created_by: str
    last_used_at: datetime | None


class HookCreated(Model):
    """A new hook."""

    start: str
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    secret: str = pydantic.Field(description="It is not shown again.")
    url: str = pydantic.Field(description="What is called, by POST: a path at this server. It holds the secret.")
