"""What is sent and answered: events. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime

import pydantic

from tidemill.client.core import Model, Wanted


class CompactedAnswer(Model):
    """What became of small files."""

    files_before: int
    files_after: int


class EventAnswer(Model):
    """An event of the store."""

    uuid: str
    event: str
    distinct_id: str
    timestamp: datetime
    team_id: int
    ip: str | None
    properties: str | None = pydantic.Field(description="A JSON text.")
    set: str | None = pydantic.Field(description="A JSON text.")
    set_once: str | None = pydantic.Field(description="A JSON text.")
    inserted_at: datetime


class EventCountAnswer(Model):
    """How many events there are."""

    value: str | int | None = pydantic.Field(description="Of that name, team or day; null: all.")
    events: int


class EventRejectAnswer(Model):
    """A line that was set aside."""

    id: int
    place: str = pydantic.Field(description="Where it was.")
    code: str
    message: str
    text: str = pydantic.Field(description="Its beginning.")
    created_at: datetime


class EventRejectsChosen(Wanted):
    """Which lines are meant."""

    code: str | None = pydantic.Field(default=None, description="With that reason.")
    ids: list[int] = pydantic.Field(default=[], description="Of these ids.")
    all: bool = pydantic.Field(default=False, description="All: it must be said, if nothing else says which.")


class EventRetriedAnswer(Model):
    """What came of it."""

    rows: int = pydantic.Field(description="They were added.")
    duplicates: int = pydantic.Field(description="They were known already.")
    rejects: int = pydantic.Field(description="They are set aside still.")


class EventRetryWanted(Wanted):
    """How lines are read once more."""

    code: str | None = pydantic.Field(default=None, description="With that reason. Default: all.")
    mapping: dict[str, str] | None = pydantic.Field(
        default=None, description="Of jsonl, csv, parquet: FIELD to COLUMN; event_name: one name for all."
    )
