"""Values of a mapping are checked against the fields of an action."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.destinations import fields
from tidemill.destinations.port import Action, Field, Kind, Limits, Mode, Op, Outcome

ACTION = Action(
    "send", "Send", "Sends.", (Field("at", "At", "When.", Kind.DATETIME),), (Mode.UPSERT,), Limits(),
    lambda _: b"", lambda _client, _batch: (),
)  # fmt: skip


@pytest.mark.parametrize("value", [0, 1_700_000_000, 1_700_000_000_000, "2024-05-06", "2024-05-06T07:08:09+02:00"])
def test_a_time_that_can_be_sent_is_taken(value: Any) -> None:
    assert fields.checker(ACTION)({"at": value}, Op.ADDED) == {"at": value}
    assert fields.moment(value).tzinfo is not None


@pytest.mark.parametrize("value", [1e18, float("inf"), float("nan"), True, "tomorrow", "0001-01-01T00:00:00+14:00", []])
def test_a_time_that_no_calendar_has_is_refused(value: Any) -> None:
    found = fields.checker(ACTION)({"at": value}, Op.ADDED)
    assert isinstance(found, Outcome)
    assert found.code == fields.INVALID
