"""How sizes, shares, times and secrets are written in a configuration: as people write them, and always the same way.

Each type takes what a person may write, and gives what `export-config` writes. So two ways to write one thing are no
difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from tidemill import sizes
from tidemill.errors import ConfigError
from tidemill.schedules import calendar, said
from tidemill.schedules.calendar import BY_HAND, Missed, Schedule

Value = TypeVar("Value")
_UNITS = (("TB", 1000**4), ("GB", 1000**3), ("MB", 1000**2), ("KB", 1000))
_SHARE = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,12})?)\s*%")


def _understood(read: Callable[[str], Value]) -> BeforeValidator:
    """Texts are read so; what is no text is left as it is."""

    def checked(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return read(value)
        except ConfigError as error:
            raise ValueError(f"{error.message} {error.hint}".strip()) from None

    return BeforeValidator(checked)


def _read_bytes(text: str) -> int:
    found = sizes.parse_bytes(text)
    if found is None:
        raise ValueError("leave it out, if there is to be no limit")
    return found


def written_bytes(count: int) -> int | str:
    """A number of bytes: 20GB."""
    for unit, size in _UNITS:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return count


def _read_share(text: str) -> float:
    found = _SHARE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no share; write 1% or 0.01")
    return float(found[1]) / 100


def written_share(share: float) -> str | float:
    """A share: 1%."""
    text = f"{share * 100:.10g}%"
    found = _SHARE.fullmatch(text)
    return text if found is not None and _read_share(text) == share else share


def _read_days(text: str) -> int:
    if text.strip().lower() == "all":
        return 0
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is no number of days; write 7, or all")
    return int(text)


def _read_minutes(text: str) -> int:
    return calendar.parse_seconds(text) // 60


def _shown(kind: Any, words: BeforeValidator, write: Callable[[Any], Any], example: str) -> Any:
    schema = WithJsonSchema({"type": ["string", "number"], "examples": [example]})
    return Annotated[kind, words, PlainSerializer(write), schema]


Bytes: Any = _shown(int, _understood(_read_bytes), written_bytes, "20GB")
Share: Any = _shown(float, _understood(_read_share), written_share, "1%")
Days: Any = _shown(int, _understood(_read_days), lambda days: days or "all", "7")
Minutes: Any = _shown(int, _understood(_read_minutes), lambda minutes: calendar.written(60 * minutes), "1h")
Seconds: Any = _shown(int, _understood(calendar.parse_seconds), calendar.written, "30m")


def _interval(text: str) -> str:
    found = said.parse_interval(text)
    return str(found["interval"].value if found["interval"] else found["cron"] or BY_HAND)


def _failures(text: str) -> str | int:
    found = said.parse_failures(text)
    return written_failures(found["pause_after"], found["pause_within"])


def written_failures(number: int | None, within: int | None) -> str | int:
    """After how many failures, within what time: 10, 10/2d, none."""
    if number is None:
        return BY_HAND
    return number if within is None else f"{number}/{calendar.written(within)}"


_Interval = Annotated[str, _understood(_interval)]
_Failures = Annotated[int | str, _understood(_failures)]


class SyncScheduleDocument(pydantic.BaseModel, frozen=True, extra="forbid"):
    """When a sync or an import runs by itself, while tidemill serve does."""

    interval: _Interval | None = Field(
        default=None, description="How often: 15m, hour, 6h, day, week, a cron expression in quotes, or none (by hand)."
    )
    time_zone: str | None = Field(default=None, description="Whose clock: UTC, Europe/Berlin. Default: UTC.")
    offset: Seconds | None = Field(default=None, description="So long after the interval has ended: 30m.")
    jitter: Seconds | None = Field(default=None, description="Up to so much later, each time another: 2m.")
    pause_after: _Failures | None = Field(
        default=None, description="It is paused after so many failures: 10, 10/2d (in two days), or none. Default: 10."
    )


class ScheduleDocument(SyncScheduleDocument, frozen=True, extra="forbid"):
    """When an export runs by itself, while tidemill serve does."""

    start_at: str | None = Field(default=None, description="No interval that begins before is run: 2026-01-31.")
    end_at: str | None = Field(default=None, description="No interval that ends later is run.")
    missed: Missed | None = Field(
        default=None, description="Intervals that were missed: run each, or join them. Default: each."
    )


def scheduled(given: dict[str, Any] | None, before: Schedule) -> Schedule:
    """The schedule that is written; `before`: without anything being written. Raises ConfigError."""
    found = said.understood(given or {}, before)
    schedule: Schedule = found.get("schedule", before)
    return schedule


def told(schedule: dict[str, Any]) -> dict[str, str]:
    """A schedule that is written whole, as options have it: each option says all of what it is about."""
    return {name: str(value) for name, value in schedule.items()}


def written_schedule(schedule: Schedule, fields: type[SyncScheduleDocument]) -> dict[str, Any]:
    """A schedule, as it is written whole."""
    moments = {name: getattr(schedule, name) for name in ("start_at", "end_at")}
    found: dict[str, Any] = {
        "interval": schedule.cron or (schedule.interval.value if schedule.interval else BY_HAND),
        "time_zone": schedule.time_zone,
        "offset": calendar.written(schedule.offset),
        "jitter": calendar.written(schedule.jitter),
        "pause_after": written_failures(schedule.pause_after, schedule.pause_within),
        "missed": schedule.missed.value,
        **{name: moment.isoformat() if moment else BY_HAND for name, moment in moments.items()},
    }
    return {name: found[name] for name in fields.model_fields}


class Reference(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A secret, by where it is: in a variable of the environment, or in a file. The secret itself is never written."""

    env: str | None = Field(
        default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$", description="Name of a variable of the environment."
    )
    file: str | None = Field(default=None, min_length=1, description="Path of a file, from the configuration's folder.")

    @pydantic.model_validator(mode="after")
    def _check(self) -> Reference:
        if (self.env is None) == (self.file is None):
            raise ValueError("write one of env and file")
        return self

    def __str__(self) -> str:
        return f"${self.env}" if self.env is not None else str(self.file)

    def read(self, folder: Path) -> SecretStr:
        """The secret.

        Raises
        ------
        ConfigError
            It is not there, or empty.
        """
        if self.env is not None:
            text = os.environ.get(self.env)
            if text is None:
                raise ConfigError("secret_missing", f"The variable {self.env} is not set.")
        else:
            try:
                text = (folder / Path(str(self.file)).expanduser()).read_text("utf-8")
            except (OSError, ValueError, RuntimeError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a text file"
                # What was written may be the secret: it is not quoted.
                raise ConfigError("secret_missing", f"The file that is named cannot be read: {reason}.") from None
        return assert_said(text)


def assert_said(text: str) -> SecretStr:
    """A text as a secret. Raises ConfigError if there is nothing in it."""
    if not text.strip():
        raise ConfigError("secret_missing", "The secret is empty.")
    return SecretStr(text.strip("\r\n"))
