"""What is sent and answered: channels. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import ReasonAnswer


class ChannelAnswer(Model):
    """A channel, without its secret."""

    id: UUID
    name: str
    kind: str
    to: str = pydantic.Field(description="Where messages go, without what is secret of that.")
    settings: dict[str, Any] = pydantic.Field(description="Those that are not secret.")
    causes: list[str] = pydantic.Field(description="Of what it is told; empty: of all.")
    exports: list[str]
    syncs: list[str]
    made_at: datetime
    made_by: str


class ChannelChanges(Wanted):
    """What is to be changed of a channel; what is left out stays, secrets too."""

    name: str | None = pydantic.Field(default=None, description="A new name.")
    settings: dict[str, Any] | None = pydantic.Field(
        default=None,
        description="Of email: to, sender, host, port, security, user, password; of webhook: url, and"
        " key (else one is made); of slack: url.",
        repr=False,
    )
    causes: list[str] | None = pydantic.Field(default=None, description="Of what it is told; empty: of all.")
    exports: list[str] | None = pydantic.Field(default=None, description="Of which exports; see `syncs`.")
    syncs: list[str] | None = pydantic.Field(default=None, description="Of which syncs; if neither has any: of all.")


class ChannelCreated(Model):
    """A new channel."""

    id: UUID
    name: str
    kind: str
    to: str = pydantic.Field(description="Where messages go, without what is secret of that.")
    settings: dict[str, Any] = pydantic.Field(description="Those that are not secret.")
    causes: list[str] = pydantic.Field(description="Of what it is told; empty: of all.")
    exports: list[str]
    syncs: list[str]
    made_at: datetime
    made_by: str
    key: str | None = pydantic.Field(
        description="By which a webhook is signed, if it was made here. It is not shown again."
    )


class ChannelItem(Model):
    """A channel in a list, with how it works."""

    id: UUID
    name: str
    kind: str
    to: str = pydantic.Field(description="Where messages go, without what is secret of that.")
    settings: dict[str, Any] = pydantic.Field(description="Those that are not secret.")
    causes: list[str] = pydantic.Field(description="Of what it is told; empty: of all.")
    exports: list[str]
    syncs: list[str]
    made_at: datetime
    made_by: str
    last_sent_at: datetime | None
    waiting: int = pydantic.Field(description="Messages.")
    given_up: int
    failing_since: datetime | None
    trouble: str | None = pydantic.Field(description="Why its last try failed.")
    what_to_do: str | None


class ChannelTestAnswer(Model):
    """What came of a test message."""

    channel: str
    to: str
    error: ReasonAnswer | None = pydantic.Field(description="Why somebody has not got it.")


class ChannelWanted(Wanted):
    """A new channel."""

    name: str = pydantic.Field(description="A unique name.")
    settings: dict[str, Any] = pydantic.Field(
        description="Of email: to, sender, host, port, security, user, password; of webhook: url, and"
        " key (else one is made); of slack: url.",
        repr=False,
    )
    causes: list[str] | None = pydantic.Field(default=None, description="Of what it is told; empty: of all.")
    exports: list[str] | None = pydantic.Field(default=None, description="Of which exports; see `syncs`.")
    syncs: list[str] | None = pydantic.Field(default=None, description="Of which syncs; if neither has any: of all.")
    kind: Literal["email", "webhook", "slack"]


class MessageAnswer(Model):
    """A message of a channel."""

    written_at: datetime
    title: str
    status: str = pydantic.Field(description="sent, waiting or given up.")
    sent_at: datetime | None
    next_try_at: datetime | None
    tries: int
    error: str | None
