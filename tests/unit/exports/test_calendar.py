"""When exports are due: no gap and no double, whatever a clock does."""

from __future__ import annotations

import datetime as dt
import itertools
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.schedules import calendar, said
from tidemill.schedules.calendar import Interval, Missed, Schedule, Span

#: Clocks that are set by half an hour, at midnight, over a day's border; that skip a whole day; and those that stay.
_ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"),
    *("America/Havana", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Kiritimati"),
)
_CRONS = ("0 6 * * 1-5", "30 2 * * *", "*/7 * * * *", "0 0 1 * *", "15 1,2,3 * * *", "0 0 29 2 *")
_FIRST, _LAST = dt.datetime(2010, 1, 1, tzinfo=dt.UTC), dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
_moments = st.integers(int(_FIRST.timestamp()), int(_LAST.timestamp())).map(
    lambda s: dt.datetime.fromtimestamp(s, dt.UTC)
)


@st.composite
def _schedules(draw: st.DrawFn) -> Schedule:
    zone = draw(st.sampled_from(_ZONES))
    missed = draw(st.sampled_from(Missed))
    if draw(st.booleans()):
        return Schedule(interval=None, cron=draw(st.sampled_from(_CRONS)), time_zone=zone, missed=missed)
    size = draw(st.sampled_from(Interval))
    offset = 60 * draw(st.integers(0, calendar.SECONDS[size] // 60 - 1))
    return Schedule(interval=size, time_zone=zone, offset=offset, missed=missed)


def _berlin(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
    return dt.datetime(year, month, day, hour, minute, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))


@given(_schedules(), _moments)
def test_intervals_follow_one_another_without_a_gap(schedule: Schedule, start: dt.datetime) -> None:
    ends = list(itertools.islice(schedule.ends_after(start), 40))
    now = ends[-1]
    spans = schedule.due(start, now, most=100)
    assert spans[0].start == start
    assert spans[-1].end == now
    assert all(one.end == other.start for one, other in itertools.pairwise(spans))
    assert all(span.start < span.end for span in spans)


@given(_schedules(), _moments)
def test_where_it_is_counted_from_makes_no_difference(schedule: Schedule, start: dt.datetime) -> None:
    ends = list(itertools.islice(schedule.ends_after(start), 10))
    for earlier, later in itertools.pairwise(ends):
        assert schedule.end_after(earlier) == later
        assert schedule.end_after(earlier + dt.timedelta(seconds=1)) == later


@given(_schedules(), _moments)
def test_the_first_interval_holds_the_moment_at_which_it_is_made(schedule: Schedule, now: dt.datetime) -> None:
    start = schedule.first_start(now)
    end = schedule.end_after(start)
    assert end is not None
    assert start <= now < end
    assert schedule.due(start, now, most=10) == []


@given(_schedules(), _moments, st.integers(0, 3_000))
def test_intervals_that_are_joined_are_those_that_would_run_each(
    schedule: Schedule, start: dt.datetime, days: int
) -> None:
    now = start + dt.timedelta(days=days / 10)
    each = schedule.model_copy(update={"missed": Missed.EACH}).due(start, now, most=10**6)
    joined = schedule.model_copy(update={"missed": Missed.JOIN}).due(start, now, most=10**6)
    assert len(joined) <= max(1, len(each))
    assert (joined[0].start, joined[-1].end) == (each[0].start, each[-1].end) if each else joined == []


@given(st.sampled_from(_ZONES), _moments, st.integers(0, 24 * 60 - 1))
def test_a_day_ends_when_its_clock_says_so(zone: str, start: dt.datetime, minutes: int) -> None:
    schedule = Schedule(interval=Interval.DAY, time_zone=zone, offset=60 * minutes)
    clock = zoneinfo.ZoneInfo(zone)
    for end in itertools.islice(schedule.ends_after(start), 5):
        local = end.astimezone(clock)
        meant = local.replace(hour=minutes // 60, minute=minutes % 60, fold=0)
        exists = meant.astimezone(dt.UTC).astimezone(clock).replace(tzinfo=None) == meant.replace(tzinfo=None)
        assert (local.hour, local.minute) == (meant.hour, meant.minute) or not exists


def test_a_day_of_23_hours_and_one_of_25() -> None:
    schedule = Schedule(interval=Interval.DAY, time_zone="Europe/Berlin")
    spring = schedule.due(_berlin(2026, 3, 28), _berlin(2026, 3, 30), most=10)
    autumn = schedule.due(_berlin(2026, 10, 24), _berlin(2026, 10, 26), most=10)
    assert [(span.end - span.start).total_seconds() / 3600 for span in (*spring, *autumn)] == [24, 23, 24, 25]


def test_hours_go_on_through_an_hour_that_comes_twice() -> None:
    schedule = Schedule(interval=Interval.HOUR, time_zone="Europe/Berlin")
    spans = schedule.due(_berlin(2026, 10, 25), _berlin(2026, 10, 26), most=100)
    assert len(spans) == 25
    assert {span.end - span.start for span in spans} == {dt.timedelta(hours=1)}


def test_a_time_that_is_skipped_is_made_up_for_and_one_that_comes_twice_is_meant_once() -> None:
    schedule = Schedule(interval=None, cron="30 2 * * *", time_zone="Europe/Berlin")
    spring = [end.day for end in itertools.islice(schedule.ends_after(_berlin(2026, 3, 28, 12)), 3)]
    autumn = [end.day for end in itertools.islice(schedule.ends_after(_berlin(2026, 10, 24, 12)), 3)]
    assert (spring, autumn) == ([29, 30, 31], [25, 26, 27])


def test_a_week_begins_on_monday_and_its_offset_counts_from_there() -> None:
    schedule = Schedule(interval=Interval.WEEK, offset=calendar.parse_seconds("6d3h"))  # Sunday, three o'clock
    end = schedule.end_after(dt.datetime(2026, 11, 26, tzinfo=dt.UTC))
    assert end == dt.datetime(2026, 11, 29, 3, tzinfo=dt.UTC)


def test_nothing_before_its_start_and_nothing_after_its_end() -> None:
    start, end = dt.datetime(2026, 1, 1, 10, 30, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, 13, 30, tzinfo=dt.UTC)
    schedule = Schedule(interval=Interval.HOUR, start_at=start, end_at=end)
    first = schedule.first_start(dt.datetime(2025, 6, 1, tzinfo=dt.UTC))
    spans = schedule.due(first, dt.datetime(2026, 2, 1, tzinfo=dt.UTC), most=1_000)
    assert spans[0] == Span(start, start.replace(hour=11, minute=0))
    assert spans[-1].end == end.replace(minute=0)


def test_jitter_is_less_than_it_says_and_stays() -> None:
    schedule = Schedule(interval=Interval.HOUR, jitter=600)
    end = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    begins = [schedule.begins_at(str(n), end) for n in range(100)]
    assert begins == [schedule.begins_at(str(n), end) for n in range(100)]
    assert all(end <= moment < end + dt.timedelta(seconds=600) for moment in begins)
    assert len(set(begins)) > 90


def test_by_hand_nothing_is_ever_due() -> None:
    schedule = Schedule(interval=None)
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert schedule.by_hand
    assert schedule.due(start, dt.datetime.now(dt.UTC), most=10) == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("hour", "hour"),
        ("5m", "every 5 minutes"),
        ("Every  15 minutes", "every 15 minutes"),
        ("daily", "day"),
        ("1m", "cron * * * * *"),
        ("20m", "cron */20 * * * *"),
        ("6h", "cron 0 */6 * * *"),
        ("0 6 * * 1-5", "cron 0 6 * * 1-5"),
        ("none", "none"),
    ],
)
def test_ways_to_say_when(text: str, written: str) -> None:
    assert str(Schedule(**said.parse_interval(text))) == written


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"interval": "hour", "time_zone": "Europe/Berlln"}, "time_zone"),
        ({"interval": "hour", "time_zone": "../../etc/passwd"}, "time_zone"),
        ({"interval": "hour", "offset": 3600}, "schedule_offset"),
        ({"interval": "hour", "offset": 90}, "schedule_offset"),
        ({"interval": None, "cron": "0 6 * * *", "offset": 60}, "schedule_offset"),
        ({"interval": "hour", "jitter": 3600}, "schedule_jitter"),
        ({"interval": None, "cron": "0 25 * * *"}, "schedule_cron"),
        ({"interval": "hour", "cron": "0 6 * * *"}, "schedule"),
        ({"interval": "hour", "start_at": "2026-01-02T00:00Z", "end_at": "2026-01-01T00:00Z"}, "schedule_time"),
        ({"interval": "week", "start_at": "9999-12-31T00:00Z"}, "schedule_time"),
        ({"interval": "week", "end_at": "0001-01-01T00:00Z"}, "schedule_time"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Schedule.model_validate(fields)
    assert raised.value.code == code
    assert raised.value.hint


@pytest.mark.parametrize(
    "text", ["fortnight", "7m", "90m", "0m", "5h", "0 0 30 2 *", "* * * *", "0 * * * * *", "61 * * * *", ""]
)
def test_an_interval_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        said.parse_interval(text)
    assert "day" in raised.value.hint


@given(st.integers(0, 10**7))
def test_a_length_of_time_is_read_as_it_is_written(seconds: int) -> None:
    assert calendar.parse_seconds(calendar.written(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "-5m", "1.5h", "5m3"])
def test_a_length_of_time_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        calendar.parse_seconds(text)


@pytest.mark.parametrize(("text", "why"), [("3/999999999w", "pause-within"), ("0", "pause-after"), ("2000", "2000")])
def test_a_number_of_failures_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        said.understood({"pause_after": text}, Schedule())
    assert why in raised.value.message
