"""How long a server asks to wait."""

from __future__ import annotations

import datetime as dt
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.outbound.waits import seconds


@pytest.mark.parametrize(("said", "expected"), [("0", 0.0), (" 30 ", 30.0), ("1.5", 1.5), ("-3", 0.0), ("inf", None)])
def test_seconds(said: str, expected: float | None) -> None:
    assert seconds(said) == expected


def test_a_date() -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert 3_000 < (seconds(email.utils.format_datetime(later)) or 0) <= 3_600
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (seconds("Fri, 01 Jan 2100 00:00:00 -0000") or 0) > 0, "without a zone it is UTC"
    assert [seconds(text) for text in ("soon", "", None)] == [None] * 3


@given(st.text())
def test_anything_else_is_nothing(text: str) -> None:
    found = seconds(text)
    assert found is None or found >= 0
