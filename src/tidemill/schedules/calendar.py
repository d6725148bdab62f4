"""When an export is due: at the ends of intervals that follow one another without a gap, in a time zone's calendar."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import itertools
import re
import zoneinfo
from collections.abc import Iterator

import cronsim
import pydantic
from pydantic import Field

from tidemill.errors import ConfigError

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_UNITS = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY, "w": _WEEK}
_TICK = dt.timedelta(seconds=1)


class Interval(enum.StrEnum):
    """How much time one run of a scheduled export covers; PostHog's five."""

    MINUTES_5 = "every 5 minutes"
    MINUTES_15 = "every 15 minutes"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


SECONDS = {
    Interval.MINUTES_5: 5 * _MINUTE,
    Interval.MINUTES_15: 15 * _MINUTE,
    Interval.HOUR: _HOUR,
    Interval.DAY: _DAY,
    Interval.WEEK: _WEEK,
}
#: How long a run may take.
_LIMITS = {
    Interval.MINUTES_5: 20 * _MINUTE,
    Interval.MINUTES_15: 20 * _MINUTE,
    Interval.HOUR: 6 * _HOUR,
    Interval.DAY: _DAY,
    Interval.WEEK: 3 * _DAY,
}
#: Of a start and an end: intervals can be counted from there on.
_YEARS = range(1970, 2201)
BY_HAND = "none"


class Missed(enum.StrEnum):
    """What becomes of intervals that ended while nothing ran."""

    EACH = "each"
    JOIN = "join"


@dataclasses.dataclass(frozen=True)
class Span:
    """An interval of time, half open."""

    start: dt.datetime
    end: dt.datetime


class Schedule(pydantic.BaseModel, frozen=True, extra="forbid"):
    """When an export runs. Neither `interval` nor `cron`: by hand alone."""

    interval: Interval | None = Field(default=Interval.HOUR, description="How much time one run covers.")
    cron: str | None = Field(default=None, description="When it is due: minute, hour, day, month, weekday.")
    time_zone: str = Field(default="UTC", description="Whose calendar and clock; a name of the IANA's list.")
    offset: int = Field(default=0, ge=0, description="Seconds from the beginning of an interval to when it is due.")
    jitter: int = Field(default=0, ge=0, description="A run begins up to so many seconds later, each time another.")
    start_at: dt.datetime | None = Field(default=None, description="No interval that begins before is run.")
    end_at: dt.datetime | None = Field(default=None, description="No interval that ends later is run.")
    missed: Missed = Field(default=Missed.EACH, description="Intervals that were missed: run each, or join them.")
    pause_after: int | None = Field(default=10, ge=1, le=1000, description="It is paused after so many failures.")
    pause_within: int | None = Field(
        default=None, ge=_MINUTE, le=520 * _WEEK, description="So many seconds a failure counts."
    )

    @pydantic.model_validator(mode="after")
    def _check(self) -> Schedule:
        if self.interval and self.cron:
            raise ConfigError("schedule", "An interval, or a cron expression: not both.", hint="Leave one out.")
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            raise ConfigError(
                "time_zone",
                f"{self.time_zone!r} is no time zone.",
                hint="Write a name of the IANA's list: UTC, Europe/Berlin, America/New_York.",
            ) from None
        for moment in (self.start_at, self.end_at):
            if moment is not None and moment.tzinfo is None:
                raise ConfigError("schedule_time", "A time has no time zone.", hint="Write 2026-01-31T00:00:00Z.")
            if moment is not None and moment.year not in _YEARS:
                raise ConfigError(
                    "schedule_time",
                    f"The year {moment.year} is none that a schedule knows.",
                    hint=f"Write one from {_YEARS[0]} to {_YEARS[-1]}; or none.",
                )
        self._check_sizes()
        if self.cron is not None:
            parsed(self.cron, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        return self

    def _check_sizes(self) -> None:
        if self.start_at and self.end_at and self.start_at >= self.end_at:
            raise ConfigError("schedule_time", "It ends before it starts.", hint="--start-at is before --end-at.")
        size = SECONDS[self.interval] if self.interval else None
        if self.offset % _MINUTE or (self.offset and (size is None or self.offset >= size)):
            raise ConfigError(
                "schedule_offset",
                "An offset is a number of minutes, and less than the interval."
                if size
                else "Only an interval has an offset.",
                hint="Write --offset 30m, 3h, or 1d6h; a cron expression says the time itself.",
            )
        if size is not None and self.jitter >= size:
            raise ConfigError("schedule_jitter", "The jitter is less than the interval.", hint="Write --jitter 2m.")

    @property
    def by_hand(self) -> bool:
        """Whether nothing runs by itself."""
        return not self.interval and not self.cron

    def __str__(self) -> str:
        said = self.interval.value if self.interval else f"cron {self.cron}" if self.cron else BY_HAND
        offset = f" + {written(self.offset)}" if self.offset else ""
        zone = f", {self.time_zone}" if self.time_zone != "UTC" else ""
        return f"{said}{offset}{zone}"

    @property
    def failures_count_for(self) -> dt.timedelta:
        """How long a failure counts: as said; else as many as pause it have room in twice."""
        if self.pause_within is not None:
            return dt.timedelta(seconds=self.pause_within)
        size = self.seconds
        return dt.timedelta(seconds=min(max(_DAY, 2 * size * (self.pause_after or 1)), 520 * _WEEK))

    @property
    def seconds(self) -> int:
        """About how long an interval is; of cron, the first of a year is looked at."""
        if self.interval:
            return SECONDS[self.interval]
        ends = list(itertools.islice(self.ends_after(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)), 2))
        return round((ends[1] - ends[0]).total_seconds()) if len(ends) == 2 else _DAY

    @property
    def run_limit(self) -> dt.timedelta:
        """How long a run may take before it is stopped and tried again: PostHog's limits, by the interval's length."""
        return dt.timedelta(seconds=_LIMITS[self.interval] if self.interval else _DAY)

    @property
    def _expression(self) -> str:
        """As cron has it: one way to count through hours that a clock skips or has twice."""
        minutes, (hour, minute) = self.offset // _MINUTE, divmod(self.offset % _DAY // _MINUTE, 60)
        match self.interval:
            case None:
                return self.cron or ""
            case Interval.MINUTES_5 | Interval.MINUTES_15:
                every = SECONDS[self.interval] // _MINUTE
                return f"{minutes}-59/{every} * * * *" if minutes else f"*/{every} * * * *"
            case Interval.HOUR:
                return f"{minute} * * * *"
            case Interval.DAY:
                return f"{minute} {hour} * * *"
            case Interval.WEEK:
                return f"{minute} {hour} * * {(self.offset // _DAY + 1) % 7}"

    def ends_after(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """The ends of intervals after a moment, each later than the one before. UTC."""
        if self.by_hand:
            return
        last = moment.astimezone(dt.UTC)
        for found in parsed(self._expression, last.astimezone(zoneinfo.ZoneInfo(self.time_zone))):
            end = found.astimezone(dt.UTC)
            if end > last:  # where a day is missing in a calendar, two ends fall together
                yield end
                last = end

    def end_after(self, moment: dt.datetime) -> dt.datetime | None:
        """The first end of an interval after a moment; None if there is none."""
        return next(self.ends_after(moment), None)

    def first_start(self, moment: dt.datetime) -> dt.datetime:
        """The start of the interval that a moment lies in: the export's first interval, if it is made then."""
        if self.start_at and self.start_at > moment:
            moment = self.start_at
        found = self._start_before(moment)
        return moment.astimezone(dt.UTC) if found is None or (self.start_at and found < self.start_at) else found

    def _start_before(self, moment: dt.datetime) -> dt.datetime | None:
        """The start of the interval that a moment lies in; None where it is not the same, counted from both sides."""
        if self.by_hand:
            return None
        local = (moment + _TICK).astimezone(zoneinfo.ZoneInfo(self.time_zone))
        found = next(parsed(self._expression, local, reverse=True), local).astimezone(dt.UTC)
        return found if found <= moment and self.end_after(found) == self.end_after(moment) else None

    def due(self, start: dt.datetime, now: dt.datetime, most: int) -> list[Span]:
        """The intervals from `start` on that have ended, in order, without a gap, at most so many; as one, if they are
        to be joined."""
        upto = min(now, self.end_at) if self.end_at else now
        if most <= 0:
            return []
        if self.missed is Missed.JOIN and (last := self._start_before(upto)) and last > start:
            return [Span(start, last)]
        spans: list[Span] = []
        for end in self.ends_after(start):
            if end > upto or len(spans) >= most:
                break
            spans.append(Span(start, end))
            start = end
        return spans

    def begins_at(self, export: str, end: dt.datetime) -> dt.datetime:
        """When the run of an interval is to begin: its end, and the jitter, which is the same each time it is asked."""
        if not self.jitter:
            return end
        drawn = hashlib.blake2b(f"{export}:{end.isoformat()}".encode(), digest_size=8).digest()
        return end + dt.timedelta(seconds=int.from_bytes(drawn) / 2**64 * self.jitter)


def parsed(expression: str, moment: dt.datetime, *, reverse: bool = False) -> Iterator[dt.datetime]:
    """The moments of an expression.

    Raises
    ------
    ConfigError
        It is none, or has seconds.
    """
    try:
        if len(expression.split()) != 5:
            raise cronsim.CronSimError("there are five fields: minute, hour, day, month, weekday")
        return cronsim.CronSim(expression, moment, reverse)
    except cronsim.CronSimError as error:
        raise ConfigError(
            "schedule_cron",
            f"{expression!r} is no interval and no cron expression: {str(error)[:1].lower()}{str(error)[1:]}.",
            hint=f"One of: {', '.join(size.value for size in Interval)}; '0 6 * * 1-5' for six o'clock on weekdays; "
            f"or {BY_HAND}.",
        ) from None


def parse_seconds(text: str) -> int:
    """A length of time: ``90s``, ``15m``, ``3h``, ``1d6h``; 0.

    Raises
    ------
    ConfigError
        If it is none.
    """
    given = text.strip().lower().replace(" ", "")
    parts = re.findall(r"([0-9]{1,9})([smhdw])", given)
    if given != "0" and (not parts or "".join(number + unit for number, unit in parts) != given):
        raise ConfigError("duration", f"{text!r} is no length of time.", hint="Write 90s, 15m, 3h or 1d6h.")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def written(seconds: float) -> str:
    """A length of time, as `parse_seconds` reads it; to the second."""
    left, said = int(seconds), ""
    for unit, size in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE), ("s", 1)):
        number, left = divmod(left, size)
        said += f"{number}{unit}" if number else ""
    return said or "0s"
