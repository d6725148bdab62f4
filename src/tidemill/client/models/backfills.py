"""What is sent and answered: backfills. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import pydantic

from tidemill.client.core import Model, Wanted


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

    parallel: int | None = pydantic.Field(
        default=None, description="So many intervals at once; null: as many as before."
    )
