"""Times as people write them become microseconds, and nonsense is told."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import RowError
from tidemill.events.formats import timestamps

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MOMENT = dt.datetime(2023, 9, 15, 9, 15, 2, tzinfo=dt.UTC)


def micros(moment: dt.datetime) -> int:
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


@given(
    st.datetimes(timezones=st.just(dt.UTC)), st.sampled_from(["T", " ", "t"]), st.sampled_from(["Z", "z", "+00:00", ""])
)
def test_any_moment_survives_as_text(moment: dt.datetime, separator: str, zone: str) -> None:
    text = moment.replace(tzinfo=None).isoformat(separator) + zone
    assert timestamps.parse(text) == micros(moment)


@given(st.datetimes(dt.datetime(1974, 1, 1), dt.datetime(5000, 1, 1), timezones=st.just(dt.UTC)))  # noqa: DTZ001 - bounds are naive
def test_numbers_are_told_apart_by_their_size(moment: dt.datetime) -> None:
    exact = micros(moment)
    for number, unit in ((exact // 1_000_000, 1_000_000), (exact // 1000, 1000), (exact, 1)):
        assert timestamps.parse(number) == timestamps.parse(str(number)) == exact // unit * unit


@given(st.integers(100_000_000_000_000_000, 4_000_000_000_000_000_000))
def test_nanoseconds_are_cut_off(number: int) -> None:
    assert timestamps.parse(number) == timestamps.parse(str(number)) == number // 1000


@given(st.datetimes(timezones=st.timezones()))
def test_offsets_count(moment: dt.datetime) -> None:
    offset = moment.utcoffset()
    assert offset is not None
    if offset % dt.timedelta(minutes=1) or not EPOCH.replace(year=2) < moment.astimezone(dt.UTC) < MOMENT.replace(
        year=9998
    ):
        return
    assert timestamps.parse(moment.isoformat()) == micros(moment)


@pytest.mark.parametrize(
    "text",
    [
        "2023-09-15T09:15:02Z",
        "2023-09-15 09:15:02",
        "2023-09-15 09:15:02 UTC",
        "2023-09-15 09:15:02.000000",
        "2023-09-15T09:15:02.000000999Z",
        "2023-09-15T14:45:02+05:30",
        "2023-09-15T09:15:02.000 +0000",
        "20230915T091502Z",
        " 2023-09-15T09:15:02Z\n",
        "1694769302",
        "1694769302.0",
        "1694769302000",
        "1.694769302e9",
        "[15/Sep/2023:09:15:02 +0000]",
        "15/Sep/2023:11:15:02 +0200",
    ],
)
def test_one_moment_in_many_spellings(text: str) -> None:
    assert timestamps.parse(text) == micros(MOMENT)


def test_a_date_is_its_midnight() -> None:
    assert (
        timestamps.parse("2023-09-15")
        == timestamps.parse("20230915")
        == micros(MOMENT.replace(hour=0, minute=0, second=0))
    )


@pytest.mark.parametrize("text", ["1612041230123", "1710011230123", "1701012345678"])
def test_milliseconds_that_look_like_a_date_without_hyphens(text: str) -> None:
    assert timestamps.parse(text) == int(text) * 1000


def test_a_leap_second_is_the_last_moment_before_it() -> None:
    assert timestamps.parse("2016-12-31T23:59:60Z") == micros(dt.datetime(2016, 12, 31, 23, 59, 59, 999999, dt.UTC))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "NaN",
        "1e400",
        float("nan"),
        True,
        "2023-02-30",
        "2023-09-15T25:00:00Z",
        "2023-09-15T09:60:00Z",
        "2023-09-15T09:15:61Z",
        "2023-09-15T9:15:02",
        "2023-09-15509:15",
        "١٦٩٤٧٦٩٣٠٢",
        "1" * 5000,
        "x" + " UTC" * 5000,
    ],
)
def test_nonsense_is_no_time(value: str | float) -> None:
    with pytest.raises(RowError) as caught:
        timestamps.parse(value)
    assert caught.value.code == "timestamp_invalid"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "value",
    [
        "+275760-09-13T00:00:00.000Z",
        "-000001-01-01T00:00:00Z",
        "0000-00-00 00:00:00",
        "10000-01-01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59.999999-01:00",
        1e30,
        -62135596801,
    ],
)
def test_what_bigquery_cannot_hold_is_out_of_range(value: str | float) -> None:
    with pytest.raises(RowError) as caught:
        timestamps.parse(value)
    assert caught.value.code == "timestamp_out_of_range"
