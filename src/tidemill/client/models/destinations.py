"""What is sent and answered: destinations. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class ActionAnswer(Model):
    """One thing that it can do with rows."""

    name: str
    title: str
    description: str
    modes: list[str] = pydantic.Field(description="insert, update, upsert, delete, mirror; the first is proposed.")
    row: dict[str, Any] = pydantic.Field(description="JSON Schema of what a mapping makes of a row.")


class DestinationAnswer(Model):
    """A destination, without its secrets."""

    id: UUID
    name: str
    kind: str
    title: str = pydantic.Field(description="What its kind is called.")
    account: str = pydantic.Field(description="Which account it is.")
    settings: dict[str, Any] = pydantic.Field(description="Those that are not secret.")
    secrets: list[str] = pydantic.Field(description="Names of settings that are kept secret.")
    syncs: list[str] = pydantic.Field(description="Which deliver to it.")
    made_at: datetime
    made_by: str


class DestinationChanges(Wanted):
    """What is to be changed of a destination; what is left out stays, secrets too."""

    name: str | None = pydantic.Field(default=None, description="A new name.")
    settings: dict[str, Any] | None = pydantic.Field(
        default=None,
        description="Settings of the kind: see GET /destination-kinds/{name}. Secrets among them are never answered.",
        repr=False,
    )


class DestinationDraft(Wanted):
    """A destination that is not saved."""

    kind: str = pydantic.Field(description="Name of its kind.")
    settings: dict[str, Any] = pydantic.Field(
        description="Settings of the kind: see GET /destination-kinds/{name}. Secrets among them are never answered.",
        repr=False,
    )


class DestinationWanted(Wanted):
    """A new destination."""

    name: str = pydantic.Field(description="A unique name.")
    kind: str = pydantic.Field(description="Name of its kind.")
    settings: dict[str, Any] = pydantic.Field(
        description="Settings of the kind: see GET /destination-kinds/{name}. Secrets among them are never answered.",
        repr=False,
    )


class KindAnswer(Model):
    """A kind of destinations."""

    name: str
    title: str
    description: str
    page: str = pydantic.Field(description="The vendor's own documentation.")


class SaidAnswer(Model):
    """What a destination says of the credential."""

    said: str


class WholeKindAnswer(Model):
    """A kind, with all that a form needs."""

    name: str
    title: str
    description: str
    page: str = pydantic.Field(description="The vendor's own documentation.")
    settings: dict[str, Any] = pydantic.Field(
        description="JSON Schema of the settings of an account; secrets are writeOnly."
    )
    actions: list[ActionAnswer]
