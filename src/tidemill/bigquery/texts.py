"""Texts of values that have no other form in files or in JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

_MICROSECONDS = 1_000_000


def moment(value: dt.datetime) -> str:
    """A TIMESTAMP in UTC, with Z; a DATETIME without."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def range_text(value: dict[str, Any]) -> str:
    """A RANGE as JSON: an object with start and end."""
    ends = {name: moment(end) if isinstance(end, dt.datetime) else end for name, end in value.items()}
    return json.dumps({name: end.isoformat() if isinstance(end, dt.date) else end for name, end in ends.items()})


def interval(value: Any) -> str:
    """An INTERVAL as BigQuery writes it: years-months days hours:minutes:seconds."""
    if hasattr(value, "nanoseconds"):  # Arrow's
        months, days, micros = value.months, value.days, int(value.nanoseconds / 1000)
    else:  # what Google's client has
        months, days = value.years * 12 + value.months, value.days
        seconds = (value.hours * 60 + value.minutes) * 60 + value.seconds
        micros = seconds * _MICROSECONDS + value.microseconds
    years, months_left = divmod(abs(months), 12)
    seconds, fraction = divmod(abs(micros), _MICROSECONDS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    part = f".{fraction:06}".rstrip("0") if fraction else ""
    sign = ["-" if amount < 0 else "" for amount in (months, micros)]
    return f"{sign[0]}{years}-{months_left} {days} {sign[1]}{hours}:{minutes}:{seconds}{part}"
