"""What a backfill would move: the intervals of a range of event time that hold rows, and how many."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

from tidemill.errors import ConfigError
from tidemill.events import chunks
from tidemill.exports import selection
from tidemill.exports.plan import Planner
from tidemill.exports.spec import ExportSpec
from tidemill.exports.verify import Verified
from tidemill.exports.work import Parts
from tidemill.schedules import calendar
from tidemill.schedules.calendar import Interval
from tidemill.store.records import Export

EVERY = {size: dt.timedelta(seconds=seconds) for size, seconds in calendar.SECONDS.items()}
_BY_DATE = (Interval.DAY, Interval.WEEK)
MAX_INTERVALS = 10_000
EARLIEST = "earliest"
Span = tuple[dt.datetime | None, dt.datetime | None, int]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a backfill would move. `intervals`: start, end and rows of those that have rows; `bytes`: of files.

    Without an end, all that comes after the start is meant; without a start, all rows of a model without times.
    """

    export: str
    time_from: dt.datetime | None
    time_to: dt.datetime | None
    every: str
    intervals: tuple[Span, ...]
    rows: int
    bytes: int


class Estimator:
    """Looks at what there is."""

    def __init__(self, parts: Parts, planner: Planner) -> None:
        self._parts, self._planner = parts, planner

    def estimate(self, export: Export, time_from: str, time_to: str | None, every: str | None) -> Estimate:
        """What it would be.

        Raises
        ------
        ConfigError
            A time, or the size of the intervals, cannot be.
        """
        if not export.position:
            raise ConfigError(
                "backfill_before_run",
                f"{export.name} has exported nothing yet: its first run exports all that there is.",
                hint=f"tidemill export run {export.name}",
            )
        spec = ExportSpec.model_validate(export.spec)
        size = _interval(every or spec.schedule.interval or Interval.DAY)
        whole = selection.of(spec, 0, export.position)
        source = self._parts.source(export)
        if spec.query and not spec.query.versions:
            raise ConfigError(
                "backfill_custom",
                "Rows of a query can be told from what the table holds only by a key and versions.",
                hint="Make an export with --key and --version, into another table.",
            )
        if not source.timed:
            if time_from != EARLIEST or time_to is not None:
                raise ConfigError(
                    "backfill_times", f"Rows of {export.model} have no time.", hint="Say --from earliest, and no --to."
                )
            rows = chunks.count(self._parts.lake, source, whole)
            return self._estimated(export, None, None, "all", [(None, None, rows)] if rows else [])
        start = self._earliest(size) if time_from == EARLIEST else _moment(time_from, size)
        end = _moment(time_to, size) if time_to else None
        if end and start >= end:
            raise ConfigError(
                "backfill_times", f"{time_from!r} is not before {time_to!r}.", hint="--from is before --to."
            )
        step = EVERY[size]
        found = source.intervals(dataclasses.replace(whole, time_from=start, time_to=end), step)
        if len(found) > MAX_INTERVALS:
            raise ConfigError(
                "backfill_intervals",
                f"There are rows in {len(found):,} intervals of {size}; a backfill may have {MAX_INTERVALS:,}.",
                hint="Choose larger intervals: --every day or week.",
            )
        spans: list[Span] = [(start + number * step, _end(start, (number + 1) * step, end), n) for number, n in found]
        return self._estimated(export, start, end, size.value, spans)

    def repair(self, export: Export, verified: Verified) -> Estimate | None:
        """What would bring in rows that a table lacks: just the days that differ. None if it lacks none."""
        lacking = [day for day in verified.different if day.missing or not day.same]
        if not lacking:
            return None
        days = {day.day: day.expected for day in lacking if day.day and day.expected}
        if not days:
            return self.estimate(export, EARLIEST, None, Interval.WEEK.value) if lacking[0].day is None else None
        starts = ((dt.datetime.combine(day, dt.time(), dt.UTC), rows) for day, rows in days.items())
        spans: list[Span] = [(start, _end(start, EVERY[Interval.DAY]), rows) for start, rows in starts]
        return self._estimated(export, spans[0][0], spans[-1][1], Interval.DAY.value, spans)

    def _estimated(
        self,
        export: Export,
        start: dt.datetime | None,
        end: dt.datetime | None,
        every: str,
        intervals: Sequence[Span],
    ) -> Estimate:
        rows = sum(number for *_, number in intervals)
        size = rows * self._planner.row_bytes(export)
        return Estimate(export.name, start, end, every, tuple(intervals), rows, int(size))

    def _earliest(self, size: Interval) -> dt.datetime:
        first = self._parts.lake.first_time() or dt.datetime.now(dt.UTC)
        day = first.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return day - dt.timedelta(days=day.weekday()) if size is Interval.WEEK else day


def _end(start: dt.datetime, after: dt.timedelta, latest: dt.datetime | None = None) -> dt.datetime | None:
    """The end of an interval; None if no time is that late."""
    try:
        end = start + after
    except OverflowError:
        return latest
    return min(end, latest) if latest else end


def _interval(text: str) -> Interval:
    try:
        return Interval(text)
    except ValueError:
        raise ConfigError(
            "backfill_every",
            f"{text!r} is no size of intervals.",
            hint=f"One of: {', '.join(size.value for size in Interval)}.",
        ) from None


def _moment(text: str, size: Interval) -> dt.datetime:
    """A date for intervals of days or weeks, else a time; UTC unless it says otherwise."""
    try:
        if size in _BY_DATE:
            return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        example = "a date such as 2026-01-31" if size in _BY_DATE else "a time such as 2026-01-31T12:00:00Z"
        said = f"{text!r} is no {'date' if size in _BY_DATE else 'time'}."
        raise ConfigError("backfill_times", said, hint=f"With intervals of {size} it is {example}.") from None
