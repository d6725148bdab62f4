"""What messages say, and when one that could not be sent is tried again."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import AccessError, ConfigError, NotFoundError, RetryableError, TidemillError, UnavailableError
from tidemill.exports import alarms
from tidemill.notify import message as messages
from tidemill.notify import retries
from tidemill.notify.http import REFUSED
from tidemill.notify.message import Message
from tidemill.schedules.calendar import Schedule
from tidemill.store.records_notify import RECOVERED, Cause

NOW = dt.datetime(2026, 11, 20, 9, 5, tzinfo=dt.UTC)
DENIED = AccessError(
    "permission_missing",
    "The permission bigquery.tables.create is missing on the dataset p.d.",
    hint="Grant it: GRANT …",
)


def test_a_failure_names_the_permission_when_it_is_tried_again_and_when_it_is_paused() -> None:
    alarm = alarms.failed("my export", DENIED, NOW, 8, Schedule())
    assert alarm.permission == "bigquery.tables.create"
    assert alarm.then.startswith("It is tried again at 2026-11-20 09:05 UTC.")
    assert alarm.then.endswith("After 2 more failures it is paused.")
    assert "tidemill export run 'my export'" in alarm.commands
    assert alarms.failed("x", DENIED, NOW, 9, Schedule()).then.endswith("After 1 more failure it is paused.")
    assert alarms.failed("x", DENIED, NOW, 10, Schedule()).then == "It is paused now."
    assert "paused" not in alarms.failed("x", DENIED, NOW, 10, Schedule(pause_after=None)).then


def test_a_pause_says_how_to_go_on() -> None:
    alarm = alarms.paused("hourly", DENIED, 10)
    assert alarm.message.startswith("It failed 10 times. The permission")
    assert "tidemill export unpause hourly" in alarm.commands


@pytest.mark.parametrize(
    ("rows", "rejected", "share", "told"),
    [
        (1000, 10, 0.01, False),
        (1000, 11, 0.01, True),
        (10, 0, 0.0, False),
        (10, 1, 0.0, True),
        (10, 10, 1.0, False),
        (0, 0, 0.0, False),
    ],
)
def test_rows_that_were_set_aside_are_told_above_the_share(rows: int, rejected: int, share: float, told: bool) -> None:
    alarm = alarms.rejects("hourly", rows, rejected, share, [("json_invalid", rejected)])
    assert (alarm is not None) == told
    if alarm:
        assert f"{rejected} of {rows:,} rows were set aside" in alarm.message
        assert f"{rejected} with json_invalid" in alarm.message


def test_a_stream_names_its_permission() -> None:
    trouble = {"code": DENIED.code, "message": DENIED.message, "hint": DENIED.hint}
    assert alarms.stream("live", trouble).permission == "bigquery.tables.create"
    assert alarms.stream("live", {**trouble, "code": "other"}).permission is None


def test_each_cause_has_a_title_and_an_end() -> None:
    for cause in Cause:
        assert "x" in Message(id="1", kind=cause, at=NOW, export="x").title
        over = Message(id="1", kind=RECOVERED, at=NOW, export="x", table="p.d.t", over=((cause, NOW),))
        assert "2026-11-20 09:05 UTC" in messages.text(over)
    assert Message(id="1", kind=RECOVERED, at=NOW, export="x", over=((Cause.STREAM, NOW),)).title == "Stream x goes on"
    assert "arrive" in messages.text(messages.test("1", "ops"))


def test_each_cause_of_a_sync_names_it_with_its_model_and_destination() -> None:
    about: dict[str, Any] = {"sync": "crm", "model": "people", "destination": "hook"}
    for cause in Cause:
        told = Message(id="1", kind=cause, at=NOW, **about)
        assert "ync crm" in told.title or cause is Cause.STREAM
        assert "xport" not in messages.text(told)
        assert "Model: people\nDestination: hook" in messages.text(told)
        over = Message(id="1", kind=RECOVERED, at=NOW, over=((cause, NOW),), **about)
        assert messages.text(over).startswith("Sync crm is well again.\n")
        assert "2026-11-20 09:05 UTC" in messages.text(over)


ERRORS = st.sampled_from(
    [
        RetryableError("a", "A.", after=7200.0),
        RetryableError("a", "A."),
        UnavailableError("b", "B."),
        ConfigError("c", "C."),
        ConfigError(REFUSED, "C."),
        AccessError("d", "D."),
        NotFoundError("e", "E."),
        TidemillError("bug", "F."),
    ]
)


@given(ERRORS, st.integers(1, 1_000_000), st.timedeltas(dt.timedelta(), dt.timedelta(days=3)))
def test_it_is_tried_again_within_hours_until_it_is_a_day_old(
    error: TidemillError, tries: int, age: dt.timedelta
) -> None:
    verdict = retries.judged(error, tries, age)
    assert (verdict.pause is None) == (age >= retries.GIVEN_UP_AFTER)
    if verdict.pause is not None:
        assert dt.timedelta() < verdict.pause <= min(dt.timedelta(hours=6), retries.GIVEN_UP_AFTER - age)
        assert verdict.pause >= min(dt.timedelta(seconds=24), retries.GIVEN_UP_AFTER - age)
    assert verdict.others == (error.code != REFUSED)


def test_what_passes_is_tried_again_sooner_and_each_time_it_takes_longer() -> None:
    def pause(error: TidemillError, tries: int) -> dt.timedelta:
        found = retries.judged(error, tries, dt.timedelta()).pause
        assert found is not None
        return found

    passes, lasts = UnavailableError("b", "B."), ConfigError("c", "C.")
    assert pause(passes, 1) < pause(passes, 3) < pause(lasts, 1) < pause(lasts, 2) < pause(lasts, 3)
    assert pause(RetryableError("a", "A.", after=7200.0), 1) == dt.timedelta(hours=2)
