"""What a user says of a schedule, in words, made into one."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

import pydantic

from tidemill import invalid
from tidemill.errors import ConfigError
from tidemill.schedules import calendar
from tidemill.schedules.calendar import BY_HAND, Interval, Missed, Schedule

#: What a user names of a schedule.
FIELDS = ("interval", "time_zone", "offset", "jitter", "start_at", "end_at", "missed", "pause_after")
#: Other ways to say it.
_SHORT = {"5m": Interval.MINUTES_5, "15m": Interval.MINUTES_15, "hourly": Interval.HOUR, "daily": Interval.DAY}
_SHORT |= {"1h": Interval.HOUR, "1d": Interval.DAY, "1w": Interval.WEEK, "weekly": Interval.WEEK}


def understood(fields: Mapping[str, Any], before: Schedule) -> dict[str, Any]:
    """The fields of an export, with those of a schedule made into one: `before`, but for what is named.

    Raises
    ------
    ConfigError
        One of them is wrong.
    """
    given = {name: value for name, value in fields.items() if name in FIELDS and value is not None}
    others = {name: value for name, value in fields.items() if name not in FIELDS}
    if not given:
        return others
    zone = str(given.get("time_zone", before.time_zone))
    made: dict[str, Any] = {name: getattr(before, name) for name in Schedule.model_fields}
    for name in (name for name in FIELDS if name in given):  # in that order: another interval has another offset
        made |= _parsed(name, given[name], zone)
    try:
        return {**others, "schedule": Schedule(**made)}
    except pydantic.ValidationError as error:
        raise invalid.said(error, Schedule) from None


def _parsed(name: str, value: Any, zone: str) -> dict[str, Any]:
    """Fields of a Schedule, from what was said of one."""
    if not isinstance(value, str):
        return {name: value}
    match name:
        case "interval":
            return {"offset": 0, **parse_interval(value)}
        case "offset" | "jitter":
            return {name: calendar.parse_seconds(value)}
        case "start_at" | "end_at":
            return {name: parse_moment(value, zone)}
        case "missed":
            return {name: _missed(value)}
        case "pause_after":
            return parse_failures(value)
    return {name: value}


def _missed(text: str) -> Missed:
    try:
        return Missed(text.strip().lower())
    except ValueError:
        raise ConfigError(
            "schedule_missed",
            f"{text!r} is nothing that can be done with intervals that were missed.",
            hint="Say each (a run for each of them) or join (one run for all of them).",
        ) from None


def parse_failures(text: str) -> dict[str, Any]:
    """After how many failures, and within what time: ``10``, ``10/2d``, or ``none``. Gives fields of a Schedule.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if text.strip().lower() == BY_HAND:
        return {"pause_after": None, "pause_within": None}
    number, slash, within = text.partition("/")
    if not number.strip().isdecimal():
        raise ConfigError(
            "schedule_pause",
            f"{text!r} is no number of failures.",
            hint="Write 10, or 10/2d (ten in two days), or none.",
        )
    return {"pause_after": int(number), "pause_within": calendar.parse_seconds(within) if slash else None}


def parse_interval(text: str) -> dict[str, Any]:
    """What a user says of when: an interval, a cron expression or ``none``. Gives fields of a Schedule.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    said = " ".join(text.split()).lower()
    if said == BY_HAND:
        return {"interval": None, "cron": None}
    if said in _SHORT or said in set(Interval):
        return {"interval": _SHORT.get(said) or Interval(said), "cron": None}
    if every := re.fullmatch(r"([0-9]{1,4}) ?([mh])", said):
        said = _every(text, int(every[1]), every[2])
    calendar.parsed(said, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    return {"interval": None, "cron": said}


def _every(text: str, number: int, unit: str) -> str:
    """Every so many minutes or hours, as a cron expression: if they divide the hour, or the day, evenly."""
    whole = {"m": 60, "h": 24}[unit]
    if number < 1 or number >= whole or whole % number:
        fits = ", ".join(f"{n}{unit}" for n in range(1, whole) if whole % n == 0)
        raise ConfigError(
            "schedule_interval",
            f"{text!r} divides no {'hour' if unit == 'm' else 'day'} evenly.",
            hint=f"Write one of {fits}; or day, week, or a cron expression.",
        )
    step = "*" if number == 1 else f"*/{number}"
    return f"{step} * * * *" if unit == "m" else f"0 {step} * * *"


def parse_moment(text: str, time_zone: str) -> dt.datetime | None:
    """A date or a time, of this time zone unless it says of which; or ``none``.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if text.strip().lower() == BY_HAND:
        return None
    try:
        moment = dt.datetime.fromisoformat(text.strip())
        zone = zoneinfo.ZoneInfo(time_zone)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ConfigError(
            "schedule_time", f"{text!r} is no time.", hint="Write 2026-01-31, 2026-01-31T06:00 or 2026-01-31T06:00:00Z."
        ) from None
