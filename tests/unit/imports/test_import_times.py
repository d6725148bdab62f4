"""Times, by the formats that a user may name."""

from __future__ import annotations

import datetime as dt
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tidemill.imports import times
from tidemill.imports.spec import TimeFormat
from tidemill.imports.unfit import Unfit

#: What strftime calls the formats; %b is English where no other language was set.
PATTERNS = {
    TimeFormat.DAY_MONTH_YEAR_TIME: "%d/%m/%Y %H:%M:%S",
    TimeFormat.MONTH_DAY_YEAR_TIME: "%m/%d/%Y %H:%M:%S",
    TimeFormat.YEAR_DAY_MONTH_TIME: "%Y/%d/%m %H:%M:%S",
    TimeFormat.YEAR_MONTH_DAY_TIME: "%Y/%m/%d %H:%M:%S",
    TimeFormat.DAY_NAME_YEAR_TIME: "%d %b %Y %H:%M:%S",
    TimeFormat.DAY_MONTH_YEAR: "%d/%m/%Y",
    TimeFormat.MONTH_DAY_YEAR: "%m/%d/%Y",
    TimeFormat.YEAR_DAY_MONTH: "%Y/%d/%m",
    TimeFormat.YEAR_MONTH_DAY: "%Y/%m/%d",
    TimeFormat.DAY_NAME_YEAR: "%d%b%Y",
}


def test_each_format_is_tested() -> None:
    others = {TimeFormat.AUTO, TimeFormat.SECONDS, TimeFormat.MILLISECONDS, TimeFormat.MICROSECONDS}
    assert set(TimeFormat) == set(PATTERNS) | others


@pytest.mark.parametrize("form", PATTERNS)
@hypothesis.given(moment=st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 31)))  # noqa: DTZ001 - UTC
def test_a_time_as_it_is_written_is_read(form: TimeFormat, moment: dt.datetime) -> None:
    moment = moment.replace(microsecond=0)
    written = moment.strftime(PATTERNS[form])
    if "HH" in form:
        assert times.texts(form)(written) == moment.isoformat() + "Z"
    else:
        moment = moment.replace(hour=0, minute=0, second=0)
        assert times.texts(form)(written) == moment.date().isoformat()
    since = moment.replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert times.reader(form)(written) == since // dt.timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (TimeFormat.AUTO, "2024-02-29", "2024-02-29"),
        (TimeFormat.AUTO, "20240229", "2024-02-29"),
        (TimeFormat.AUTO, "2024-02-29T01:02:03", "2024-02-29T01:02:03Z"),
        (TimeFormat.AUTO, "2024-02-29T01:02:03.5Z", "2024-02-29T01:02:03.500000Z"),
        (TimeFormat.AUTO, "2024-02-29 01:02:03+02:00", "2024-02-28T23:02:03Z"),
        (TimeFormat.AUTO, "2024-02-29 01:02:03 UTC", "2024-02-29T01:02:03Z"),
        (TimeFormat.SECONDS, 1_700_000_000, "2023-11-14T22:13:20Z"),
        (TimeFormat.SECONDS, "1700000000.25", "2023-11-14T22:13:20.250000Z"),
        (TimeFormat.SECONDS, 1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (TimeFormat.SECONDS, -1, "1969-12-31T23:59:59Z"),
        (TimeFormat.MILLISECONDS, 1_700_000_000_123, "2023-11-14T22:13:20.123000Z"),
        (TimeFormat.MICROSECONDS, "1700000000123456", "2023-11-14T22:13:20.123456Z"),
        (TimeFormat.DAY_NAME_YEAR, "05DEC2024", "2024-12-05"),
        (TimeFormat.DAY_NAME_YEAR_TIME, "05 dec 2024 10:00:00", "2024-12-05T10:00:00Z"),
    ],
)
def test_a_time_that_fits(form: TimeFormat, value: Any, text: str) -> None:
    assert times.texts(form)(value) == text


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (TimeFormat.AUTO, "1700000000"),
        (TimeFormat.AUTO, 1_700_000_000),
        (TimeFormat.AUTO, "31/12/2024"),
        (TimeFormat.AUTO, "2024-02-30"),
        (TimeFormat.AUTO, "0001-01-01T00:00:00+05:00"),
        (TimeFormat.AUTO, ""),
        (TimeFormat.AUTO, {}),
        (TimeFormat.SECONDS, 1_700_000_000_000),  # milliseconds
        (TimeFormat.SECONDS, "2024-01-01"),
        (TimeFormat.SECONDS, True),
        (TimeFormat.SECONDS, float("inf")),
        (TimeFormat.DAY_MONTH_YEAR, "12/31/2024"),
        (TimeFormat.DAY_MONTH_YEAR, "31/12/2024 10:00:00"),
        (TimeFormat.DAY_MONTH_YEAR, 31122024),
        (TimeFormat.DAY_MONTH_YEAR_TIME, "31/12/2024"),
        (TimeFormat.DAY_MONTH_YEAR_TIME, "31/12/2024 24:00:00"),
        (TimeFormat.DAY_NAME_YEAR, "05Abc2024"),
        (TimeFormat.YEAR_MONTH_DAY, "0000/01/01"),
    ],
)
def test_a_time_that_does_not_fit(form: TimeFormat, value: Any) -> None:
    with pytest.raises(Unfit):
        times.texts(form)(value)
