"""What is sent and answered: sources. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import pydantic

from tidemill.client.core import Model, Wanted


class GrantsAnswer(Model):
    """What gives an account what a source needs, and nothing else."""

    statements: list[str] = pydantic.Field(description="Commands, and statements for BigQuery, in order.")
    faster: list[str] = pydantic.Field(description="What is needed for speed alone.")


class SourceAnswer(Model):
    """A connection that is a source."""

    connection: str = pydantic.Field(description="Its name.")
    project: str
    dataset: str
    location: str | None
    access: str
    state_dataset: str | None = pydantic.Field(
        description="Where what was delivered is remembered; null: in this installation."
    )
    account: str | None
    models: list[str] = pydantic.Field(description="Source models that use it.")
    made_at: datetime
    made_by: str


class SourceWanted(Wanted):
    """How a connection is a source. Of one that is one already, what is left out stays."""

    access: Literal["full", "limited", "read-only"] | None = pydantic.Field(
        default=None, description="How much it may do: full, limited, read-only."
    )
    state_dataset: str | None = pydantic.Field(default=None, description="Where what was delivered is remembered.")
