"""What is sent and answered: audit. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pydantic

from tidemill.client.core import Model


class AuditRecord(Model):
    """One thing that somebody did, or was refused."""

    id: int
    at: datetime
    actor: str
    actor_kind: str = pydantic.Field(description="user, token or shell.")
    address: str = pydantic.Field(description="From where; empty: this machine.")
    action: str
    kind: str = pydantic.Field(description="Of what was changed.")
    name: str
    outcome: str = pydantic.Field(description="begun (and no more is known), done, refused, failed.")
    code: str = pydantic.Field(description="Of the error.")
    details: dict[str, Any]
    before: Any
    after: Any
