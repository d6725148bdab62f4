"""What is sent and answered: dbt. Written by tests/client_writer.py."""

from __future__ import annotations

import pydantic

from tidemill.client.core import Model, Wanted


class AfterRunAnswer(Model):
    """What a run of dbt means for a sync."""

    sync: str
    model: str
    number: int | None = pydantic.Field(description="Of the run that was triggered; null: none was.")
    reason: str = pydantic.Field(description="Why none was; or which run it waits for.")


class ReadableAnswer(Model):
    """Whether the connections that read the model may read it there."""

    readable: bool | None = pydantic.Field(description="null: that is not known, for there is no such table yet.")


class ReadableRequest(Wanted):
    """A model in use, and where it would stand."""

    model: str = pydantic.Field(description="Unique id of the model.")
    relation: str = pydantic.Field(description="project.dataset.table")
