"""How sizes, shares, times and secrets are written: what is written is read as the same."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.configuration import words
from tidemill.configuration.words import Bytes, Days, Minutes, Reference, ScheduleDocument, Seconds, Share
from tidemill.errors import ConfigError
from tidemill.schedules.calendar import Interval, Missed, Schedule

_WITHIN = st.integers(60, 520 * 7 * 86_400)
_PAUSES = st.just((None, None)) | st.tuples(st.integers(1, 1000), st.none() | _WITHIN)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Any schedule."""
    interval = draw(st.none() | st.sampled_from(Interval))
    cron = draw(st.none() | st.sampled_from(["0 6 * * 1-5", "*/7 * * * *"])) if interval is None else None
    after, within = draw(_PAUSES)
    start = draw(st.none() | st.integers(10**9, 2 * 10**9))
    return Schedule(
        interval=interval,
        cron=cron,
        time_zone=draw(st.sampled_from(["UTC", "Europe/Berlin"])),
        offset=60 * draw(st.integers(0, 4)) if interval else 0,
        jitter=draw(st.integers(0, 299)),
        start_at=dt.datetime.fromtimestamp(start, dt.UTC) if start else None,
        missed=draw(st.sampled_from(Missed)),
        pause_after=after,
        pause_within=within,
    )


@given(schedules())
def test_a_schedule_is_read_as_it_is_written(schedule: Schedule) -> None:
    written = words.written_schedule(schedule, ScheduleDocument)
    read = ScheduleDocument.model_validate(written).model_dump(mode="json", exclude_unset=True)
    assert read == written
    assert words.scheduled(read, Schedule()) == schedule
    assert words.scheduled(read, Schedule(interval=None)) == schedule


@pytest.mark.parametrize(
    ("kind", "texts", "value", "written"),
    [
        (Bytes, ["20GB", "20 gb", 20_000_000_000], 20_000_000_000, "20GB"),
        (Bytes, [123], 123, 123),
        (Share, ["1%", "1 %", 0.01], 0.01, "1%"),
        (Share, ["0.5%", 0.005], 0.005, "0.5%"),
        (Days, ["all", 0], 0, "all"),
        (Days, ["7", 7], 7, 7),
        (Minutes, ["90m", "1h30m", 90], 90, "1h30m"),
        (Seconds, ["30m", 1800], 1800, "30m"),
    ],
)
def test_several_ways_to_write_one_thing_are_no_difference(
    kind: Any, texts: list[Any], value: Any, written: Any
) -> None:
    adapter = pydantic.TypeAdapter(kind)
    assert {adapter.validate_python(text) for text in texts} == {value}
    assert adapter.dump_python(value, mode="json") == written


@given(st.integers(1, 2**62))
def test_bytes_stay_the_same(count: int) -> None:
    assert pydantic.TypeAdapter(Bytes).validate_python(words.written_bytes(count)) == count


@given(st.floats(0, 1))
def test_shares_stay_the_same(share: float) -> None:
    assert pydantic.TypeAdapter(Share).validate_python(words.written_share(share)) == share


def test_a_secret_is_in_a_variable_or_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("of the file\n")
    monkeypatch.setenv("KEY", "of the environment")
    assert Reference(file="key").read(tmp_path).get_secret_value() == "of the file"
    assert Reference(file=str(tmp_path / "key")).read(Path("/")).get_secret_value() == "of the file"
    assert Reference(env="KEY").read(tmp_path).get_secret_value() == "of the environment"


@pytest.mark.parametrize("given", [{}, {"env": "A", "file": "b"}, {"env": "not a name"}, {"value": "s3cret"}, "s3cret"])
def test_what_is_no_reference_is_refused(given: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        Reference.model_validate(given)


def test_a_secret_that_stands_where_a_path_should_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Reference(file="xoxb-s3cret").read(tmp_path)
    assert "s3cret" not in f"{caught.value.message}{caught.value.hint}{caught.value.raw}"


@pytest.mark.parametrize("text", ["9223373TB", "9223372036854775808", "99999999999999999999"])
def test_more_bytes_than_can_be_counted_are_refused(text: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="9"):
        pydantic.TypeAdapter(Bytes).validate_python(text)
