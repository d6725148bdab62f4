"""What is sent and answered: backfills. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class BackfillAnswer(Model):
    """A backfill, with what became of its intervals. Its runs are those of the export with its id."""

    id: UUID
    export: str
    status: str = pydantic.Field(description="running, interrupted, paused, failed, completed, cancelled.")
    time_from: datetime | None
    time_to: datetime | None
    every: str
    intervals: int
    intervals_done: int
    intervals_failed: int
    percent: float
    rows: int
    rows_done: int
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    hint: str = pydantic.Field(description="What to do about the first interval that failed.")


class BackfillWanted(Wanted):
    """A backfill."""

    time_from: str = pydantic.Field(description="A date, a time, or earliest.")
    time_to: str | None = pydantic.Field(default=None, description="Up to there; left out: without an end.")
    every: Literal["every 5 minutes", "every 15 minutes", "hour", "day", "week"] | None = pydantic.Field(
        default=None, description="Size of its intervals; left out: that of the schedule."
    )
    parallel: int = pydantic.Field(default=1, description="So many intervals at once.")


class EstimateAnswer(Model):
    """What a backfill would move."""

    export: str
    time_from: datetime | None
    time_to: datetime | None
    every: str
    intervals: int = pydantic.Field(description="That hold rows.")
    rows: int
    bytes: int


class RangeWanted(Wanted):
    """A range of event time."""

    time_from: str = pydantic.Field(description="A date, a time, or earliest.")
    time_to: str | None = pydantic.Field(default=None, description="Up to there; left out: without an end.")
    every: Literal["every 5 minutes", "every 15 minutes", "hour", "day", "week"] | None = pydantic.Field(
        default=None, description="Size of its intervals; left out: that of the schedule."
    )


class ResumeWanted(Wanted):
    """How a backfill goes on."""

    parallel: int = pydantic.Field(default=1, description="So many intervals at once.")
