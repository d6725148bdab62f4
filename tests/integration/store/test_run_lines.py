"""Lines of runs in the database: found by what they say, bounded by number and age, and gone with their export."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from tests.integration.store.test_runs import export, finish, planned, runs  # noqa: F401 - fixtures

from tidemill.logbook import Line
from tidemill.store import run_lines
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.records import Export
from tidemill.store.run_lines import RunLines, Wanted
from tidemill.store.runs import Runs
from tidemill.store.tables_seeing import run_lines as table

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
RUN = uuid.uuid4()


@pytest.fixture
def lines(database: Database) -> RunLines:
    return RunLines(database)


def line(number: int, level: str = "info", message: str = "", **more: Any) -> Line:
    fields: dict[str, Any] = {
        "run_id": RUN,
        "export_id": None,
        "step": "load",
        "fields": {},
        "attempt": 1,
        "process": "host:1",
    }
    at = NOW + dt.timedelta(seconds=number)
    return Line(**{"at": at, "level": level, "message": message or f"line {number}", **fields, **more})


def said(found: list[Any]) -> list[str]:
    return [one.message for one in found]


def test_they_are_found_by_level_step_time_and_text(lines: RunLines) -> None:
    lines.add([line(1), line(2, "warning", "It is tried again.", fields={"code": "bigquery_unavailable", "tries": 1})])
    lines.add([line(3, "error", "50% of \\ it failed", step="merge"), line(0, run_id=uuid.uuid4())])
    everything = lines.of_run(RUN, Wanted())
    assert said(everything) == ["line 1", "It is tried again.", "50% of \\ it failed"]
    assert everything[1].fields == {"code": "bigquery_unavailable", "tries": 1}
    assert (everything[1].level, everything[1].attempt, everything[1].process) == ("warning", 1, "host:1")
    assert said(lines.of_run(RUN, Wanted(level="warning"))) == ["It is tried again.", "50% of \\ it failed"]
    assert said(lines.of_run(RUN, Wanted(step="merge"))) == ["50% of \\ it failed"]
    assert said(lines.of_run(RUN, Wanted(since=NOW + dt.timedelta(seconds=2)))) == said(everything)[1:]
    assert said(lines.of_run(RUN, Wanted(limit=2))) == said(everything)[1:]
    for text, found in (("TRIED", 1), ("Bigquery_Un", 1), ("50%", 1), ("%", 1), ("\\", 1), ("_", 1), ("nothing", 0)):
        assert len(lines.of_run(RUN, Wanted(search=text))) == found, text


def test_odd_characters_are_kept_as_well_as_can_be(lines: RunLines) -> None:
    lines.add([line(1, message="nul \0 and half \ud800", fields={"hint": "\0 \ud800"})])
    assert said(lines.of_run(RUN, Wanted())) == ["nul \\0 and half \\ud800"]


def test_of_a_run_the_newest_are_kept_and_warnings_beside_them(
    lines: RunLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lines, "MOST", 3)
    lines.add([line(n, "error" if n % 5 == 0 else "info") for n in range(20)])
    lines.add([line(1, run_id=uuid.uuid4())])
    lines.trim(RUN)
    kept = said(lines.of_run(RUN, Wanted()))
    assert kept == ["line 5", "line 10", "line 15", "line 17", "line 18", "line 19"]
    lines.trim(RUN)
    assert said(lines.of_run(RUN, Wanted())) == kept


def test_old_ones_are_pruned_in_pieces(lines: RunLines, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lines, "_PRUNED_AT_ONCE", 10)
    lines.add([line(n) for n in range(50)])
    assert lines.prune(NOW + dt.timedelta(seconds=42)) == 42
    assert lines.prune(NOW + dt.timedelta(seconds=42)) == 0
    with database.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 8


def test_those_of_an_export_are_of_its_last_run_and_of_none(
    lines: RunLines,
    runs: Runs,  # noqa: F811
    export: Export,  # noqa: F811
    database: Database,
) -> None:
    assert lines.last_telling(export.id) == (None, None)
    finish(runs, first := planned(runs, export.id, 0, 5))
    second = planned(runs, export.id, 5, 9)
    finished = runs.by_id(first.id).finished_at
    assert lines.last_telling(export.id) == (second.id, finished)
    assert finished is not None
    tick = dt.timedelta(seconds=1)
    own: dict[str, Any] = {"run_id": None, "export_id": export.id}
    lines.add(
        [line(1, message="older", at=finished - tick, **own), line(2, message="newer", at=finished + tick, **own)]
    )
    lines.add([line(3, message="first", run_id=first.id), line(4, message="second", run_id=second.id)])
    found = lines.of_export(export.id, second.id, finished, Wanted())
    assert sorted(said(found)) == ["newer", "second"]
    finish(runs, second)
    Exports(database).delete(export.id)
    with database.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
