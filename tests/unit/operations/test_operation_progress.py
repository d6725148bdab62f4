"""How far an operation is: what several tries have done is told once, with a rate of this try."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest

from tidemill.errors import TidemillError, UnavailableError
from tidemill.operations.progress import Progress
from tidemill.operations.views import OperationView
from tidemill.store.operations import Operation

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


@dataclasses.dataclass
class Done:
    place: str
    rows: int
    error: TidemillError | None = None


def told(*places: Done, kept: dict[str, Any] | None = None) -> dict[str, Any]:
    progress = Progress(kept or {}, lambda _: None)
    for one in places:
        progress.place(one)
    return progress.told


def rows(found: dict[str, Any]) -> dict[str, int]:
    return {name: one["rows"] for name, one in found["places"].items()}


def test_what_a_try_repeats_counts_once_and_what_it_goes_on_with_is_added() -> None:
    first = told(Done("events", 50), Done("p.d.events", 30), Done("events", 20))
    assert rows(first) == {"events": 70, "p.d.events": 30}
    second = told(Done("events", 50), Done("p.d.events", 20), kept=first)
    assert rows(second) == {"events": 70, "p.d.events": 50}, "of tables what was left"


def test_a_place_that_was_out_of_reach_says_so_until_it_is_done() -> None:
    first = told(Done("p.d.events", 0, UnavailableError("away", "It does not answer.", hint="Wait.")))
    assert first["places"]["p.d.events"]["error"] == {"code": "away", "message": "It does not answer.", "hint": "Wait."}
    assert told(Done("p.d.events", 3), kept=first)["places"]["p.d.events"] == {"rows": 3, "error": None}


def test_it_is_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("tidemill.operations.progress.time.monotonic", lambda: clock)
    written: list[dict[str, Any]] = []
    progress = Progress({}, written.append)
    for done in range(1_000):
        progress.report("taking", done, 1_000)
    assert [one["done"] for one in written] == [0]
    clock += 1
    progress.report("taking", 1_000, 1_000)
    assert [one["done"] for one in written] == [0, 1_000]
    assert (progress.told["done"], progress.told["total"]) == (1_000, 1_000)


def operation(progress: dict[str, Any], **fields: Any) -> Operation:
    plain: dict[str, Any] = {one.name: None for one in dataclasses.fields(Operation)}
    known = {"id": uuid.uuid4(), "kind": "import_undo", "name": "a", "at": NOW, "tries": 1, "worker": "w"}
    return Operation(**{**plain, **known, "progress": progress, **fields})


@pytest.mark.parametrize(
    ("seconds", "first", "done", "rate", "left"),
    [(10, 100, 300, 20.0, 35.0), (10, 300, 300, None, None), (0, 0, 5, None, None)],
)
def test_rate_and_time_that_is_left_are_of_this_try(
    seconds: int, first: int, done: int, rate: float | None, left: float | None
) -> None:
    at = NOW + dt.timedelta(seconds=seconds)
    said = {"since": NOW.isoformat(), "at": at.isoformat(), "first": first, "done": done, "total": 1_000}
    found = OperationView.of(operation(said))
    assert (found.status, found.rate, found.seconds_left) == ("running", rate, left)


def test_how_one_stands() -> None:
    assert OperationView.of(operation({}, worker=None)).status == "waiting"
    assert OperationView.of(operation({}, worker=None, finished_at=NOW)).status == "completed"
    error = {"code": "x", "message": "", "hint": ""}
    failed = OperationView.of(operation({}, worker=None, finished_at=NOW, error=error))
    assert (failed.status, failed.is_over) == ("failed", True)
