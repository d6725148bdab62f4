"""What a page says of what a worker does to its end."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from tidemill.operations.service import OperationView, PlaceView
from tidemill.web.pages import operations

NOW = dt.datetime.now(dt.UTC)
EVIL = "<script>alert(1)</script>"
ERROR = {"code": "run_unfinished", "message": f"A run of {EVIL} is not finished.", "hint": "tidemill export run x"}


def found(status: str = "running", **fields: Any) -> OperationView:
    plain: dict[str, Any] = {"kind": "import_undo", "name": "a", "already": False, "by": EVIL, "at": NOW, "tries": 1}
    told = {"what": "taking events back", "done": 250, "total": 1_000, "rate": 50.0, "places": (), "run": None}
    over = {"taken_at": None, "finished_at": NOW if status in {"completed", "failed"} else None, "error": None}
    return OperationView(**{"id": uuid.uuid4(), "status": status, **plain, **told, **over, **fields})


def test_one_at_work_tells_how_far_it_is_how_quick_and_how_long_still() -> None:
    text = operations.mark(found())
    assert "250 of 1,000 events" in text
    assert "50 events a second" in text
    assert "about 15 s left" in text


def test_one_that_waits_says_for_what() -> None:
    assert "It waits for a worker: tidemill serve." in operations.mark(found("waiting"))
    text = operations.mark(found("waiting", error=ERROR))
    assert "It is tried again by itself." in text
    assert "is not finished." in text


def test_one_that_has_failed_says_why_and_that_it_goes_on() -> None:
    text = operations.mark(found("failed", error=ERROR))
    assert "begin it again: it goes on" in text
    assert "tidemill export run x" in text
    assert "run_unfinished" in text


@pytest.mark.parametrize("kind", ["import_undo", "person_delete", "sync_rows", "sync_deletes"])
@pytest.mark.parametrize("status", ["waiting", "running", "completed", "failed"])
def test_whatever_it_tells_is_text(kind: str, status: str) -> None:
    places = (PlaceView(EVIL, 1, None), PlaceView(f"2{EVIL}", 0, ERROR))
    shown = operations.mark(found(status, kind=kind, places=places, what=EVIL, error=ERROR))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_one_that_ended_long_ago_is_not_shown() -> None:
    assert operations.is_shown(found("completed", finished_at=dt.datetime.now(dt.UTC)))
    assert not operations.is_shown(found("completed", finished_at=NOW - dt.timedelta(hours=1)))
    assert operations.is_shown(found("waiting", at=NOW - dt.timedelta(days=2)))


def test_the_page_is_shown_anew_when_one_that_was_seen_is_over() -> None:
    done: list[int] = []
    changed = operations.over(lambda: done.append(1))
    for one in (None, found("completed"), found("waiting"), found("running")):
        changed(one)
    assert done == []
    changed(found("completed"))
    changed(found("completed"))
    assert done == [1]
