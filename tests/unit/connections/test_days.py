"""Days by which connections are found."""

from __future__ import annotations

import datetime as dt

import pytest

from tidemill.connections.spec import days
from tidemill.errors import ConfigError


def test_the_last_day_is_among_them() -> None:
    first, end = days("2026-01-30 .. 2026-02-01")
    assert first == dt.datetime(2026, 1, 30).astimezone()
    assert end == dt.datetime(2026, 2, 2).astimezone()
    assert days("2026-01-30") == days("2026-01-30..2026-01-30")


@pytest.mark.parametrize("text", ["", "today", "2026-01-02..", "..2026-01-02", "2026-02-01..2026-01-01", "9999-12-31"])
def test_what_names_no_days_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        days(text)
    assert refused.value.code == "days_invalid"
    assert ".." in refused.value.hint
