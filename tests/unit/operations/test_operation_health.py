"""The doctor says that nobody does what somebody has asked for."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from tidemill.health import _operations


@pytest.mark.parametrize(
    ("number", "minutes", "status"), [(0, None, "ok"), (2, None, "ok"), (2, 1, "ok"), (1, 30, "warning")]
)
def test_one_that_no_worker_begins_is_told(number: int, minutes: int | None, status: str) -> None:
    since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes) if minutes is not None else None
    app: Any = SimpleNamespace(operations=SimpleNamespace(waiting=lambda: (number, since)))
    found = _operations(app)
    assert found.status == status
    assert (found.hint == "tidemill serve --role worker") == (status == "warning")
