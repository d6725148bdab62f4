"""A stream waits for more before it sends little, but never longer than it was told to."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from tidemill.events.ledger import Commit
from tidemill.exports.spec import ExportSpec, Mode
from tidemill.exports.stream import reader

SPEC = ExportSpec(name="x", mode=Mode.STREAM, table="t", buffer_seconds=60, buffer_bytes=1_000_000)


NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def waits(ago: float, size: int = 10) -> float:
    moment = dt.datetime.fromtimestamp(NOW - ago, dt.UTC)
    return reader._waits([Commit(1, 1, size, moment)], SPEC)


@pytest.mark.parametrize(("ago", "wanted"), [(0.0, 60.0), (20.0, 40.0), (60.0, 0.0), (3600.0, 0.0)])
def test_what_was_committed_waits_as_long_as_is_said(ago: float, wanted: float) -> None:
    assert waits(ago) == pytest.approx(wanted)


def test_enough_is_sent_at_once() -> None:
    assert waits(0.0, 1_000_000) == 0.0


@pytest.mark.parametrize("ahead", [10.0, 3600.0, 300_000.0])
def test_what_was_committed_by_a_clock_that_was_ahead_is_sent(ahead: float) -> None:
    """It would be waited for until the clocks agree."""
    assert waits(-ahead) == 0.0
