"""A run's states: one at a time, each range once, and only who moves it may say what became of it."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tidemill.errors import ConfigError, ConflictError, NotFoundError, TidemillError, UnavailableError
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.records import Export, Run
from tidemill.store.runs import Runs

BROKEN = UnavailableError("google_down", "Google is down.", hint="Wait.")


@pytest.fixture
def export(database: Database) -> Export:
    owner = Connections(database).add(name="c", project="p", dataset="d", adc=True, connected_by="me")
    fields = {"name": "e", "model": "events", "project": "p", "dataset": "d", "table_id": "t"}
    return Exports(database).add(**fields, connection_id=owner.id, spec={}, created_by="me")


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database)


def planned(runs: Runs, export_id: uuid.UUID, after: int, upto: int, chunks: int = 2) -> Run:
    run: dict[str, Any] = {
        "mode": "append",
        "spec": {"name": "e"},
        "snapshot_after": after,
        "snapshot_upto": upto,
        "rows_planned": 10,
        "created_by": "me",
        "worker": "first",
    }
    parts = [
        {"number": number, "snapshot_after": after, "snapshot_upto": upto, "rows_planned": 5}
        for number in range(chunks)
    ]
    return runs.plan(export_id, run, parts)


def finish(runs: Runs, run: Run) -> None:
    for chunk in runs.chunks(run.id):
        runs.note_chunk(run.id, chunk.number, attempt=run.attempt, status="loaded")
    runs.complete(run.id, attempt=run.attempt)


def code_of(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(TidemillError) as caught:
        call(*arguments, **named)
    assert caught.value.hint
    return caught.value.code


def test_a_run_moves_the_position_when_it_is_completed(database: Database, runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    assert (run.status, run.number, run.attempt) == ("running", 1, 1)
    with pytest.raises(RuntimeError, match="not loaded"):
        runs.complete(run.id, attempt=1)
    finish(runs, run)
    runs.complete(run.id, attempt=1)  # a step may run twice
    assert Exports(database).by_id(export.id).position == 5
    assert runs.by_id(run.id).status == "completed"
    assert planned(runs, export.id, 5, 9).number == 2


def test_one_run_at_a_time_and_each_range_once(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    assert code_of(planned, runs, export.id, 0, 5) == "run_running"
    finish(runs, run)
    assert code_of(planned, runs, export.id, 0, 5) == "run_running"


def test_of_many_that_plan_at_once_one_does(runs: Runs, export: Export) -> None:
    ready, outcomes = threading.Barrier(5), list[str]()

    def plan() -> None:
        ready.wait()
        try:
            outcomes.append(planned(runs, export.id, 0, 5).status)
        except ConflictError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=plan) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["run_running"] * 4 + ["running"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_run_that_did_not_end_well_is_finished_before_another(runs: Runs, export: Export, cancelled: bool) -> None:
    run = planned(runs, export.id, 0, 5)
    runs.note_chunk(run.id, 0, attempt=1, status="loaded", rows_loaded=5)
    runs.fail(run.id, BROKEN, cancelled=cancelled, attempt=1)
    failed = runs.by_id(run.id)
    assert (failed.status, failed.error_code) == ("cancelled" if cancelled else "failed", "google_down")
    with pytest.raises(ConflictError) as unfinished:
        planned(runs, export.id, 0, 5)
    assert unfinished.value.code == "run_unfinished"
    assert unfinished.value.hint.endswith(f"tidemill export run retry {run.id.hex[:8]}")
    again = runs.resume(run.id, "second", expected_attempt=1)
    assert (again.status, again.attempt, again.worker, again.error_code) == ("running", 2, "second", None)
    assert runs.chunk(run.id, 0).status == "loaded"
    finish(runs, again)
    assert code_of(runs.resume, run.id, "third", expected_attempt=2) == "run_taken_over"


def test_who_was_robbed_of_a_run_changes_nothing_any_more(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    runs.resume(run.id, "second", expected_attempt=1)
    assert code_of(runs.resume, run.id, "third", expected_attempt=1) == "run_taken_over"
    before = (runs.by_id(run.id), runs.chunks(run.id))
    late = [
        lambda: runs.note_chunk(run.id, 0, attempt=1, status="loaded"),
        lambda: runs.reset_chunks(run.id, attempt=1),
        lambda: runs.complete(run.id, attempt=1),
        lambda: runs.fail(run.id, BROKEN, cancelled=False, attempt=1),
    ]
    assert {code_of(call) for call in late} == {"run_taken_over"}
    assert (runs.by_id(run.id), runs.chunks(run.id)) == before


def test_a_chunk_that_is_loaded_stays_loaded(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    runs.note_chunk(run.id, 0, attempt=1, status="loaded", rows_loaded=5)
    runs.note_chunk(run.id, 0, attempt=1, status="written", rows_loaded=0)
    assert (runs.chunk(run.id, 0).status, runs.chunk(run.id, 0).rows_loaded) == ("loaded", 5)
    runs.reset_chunks(run.id, attempt=1)
    assert {chunk.status for chunk in runs.chunks(run.id)} == {"planned"}


def test_an_export_is_not_deleted_under_a_run(database: Database, runs: Runs, export: Export) -> None:
    exports, run = Exports(database), planned(runs, export.id, 0, 5)
    assert code_of(exports.delete, export.id) == "run_running"
    runs.fail(run.id, BROKEN, cancelled=True, attempt=1)
    exports.delete(export.id)
    assert code_of(runs.by_id, run.id) == "run_unknown"
    assert code_of(planned, runs, export.id, 0, 5) == "export_unknown"


def test_a_run_is_asked_to_stop_until_it_is_gone_on_with(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    assert not runs.cancel_requested(run.id)
    runs.request_cancel(run.id)
    assert runs.cancel_requested(run.id)
    runs.fail(run.id, BROKEN, cancelled=True, attempt=1)
    runs.resume(run.id, "second", expected_attempt=1)
    assert not runs.cancel_requested(run.id)


def test_runs_are_found_by_the_beginning_of_their_ids(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    assert runs.get(run.id.hex[:8].upper()) == run == runs.last(export.id)
    assert runs.get(str(run.id)) == runs.get(run.id.hex) == run
    for unknown in ("", "%", "_", "zz"):
        with pytest.raises(NotFoundError):
            runs.get(unknown)
    finish(runs, run)
    for number in range(1, 17):
        finish(runs, planned(runs, export.id, number * 5, number * 5 + 5, chunks=1))
    digits = [found.id.hex[0] for found in runs.newest(limit=99)]
    shared = next(digit for digit in digits if digits.count(digit) > 1)  # 17 ids, 16 digits
    with pytest.raises(ConfigError):
        runs.get(shared)


def test_remarks_are_kept_once(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5)
    for text in ("a", "b", "a"):
        runs.remark(run.id, text)
    runs.note(run.id, attempt=run.attempt, layout={"columns": ["uuid"]})
    assert runs.by_id(run.id).notes == ["a", "b"]
    assert runs.by_id(run.id).layout == {"columns": ["uuid"]}


@pytest.mark.parametrize(("mode", "at_once"), [("append", True), ("merge", False), ("upsert", False)])
def test_rows_are_in_the_table_once_they_are_not_in_a_stage_alone(
    runs: Runs, export: Export, mode: str, at_once: bool
) -> None:
    assert not runs.brought_rows(export.id)
    run = planned(runs, export.id, 0, 5, chunks=1)
    runs.note(run.id, attempt=run.attempt, mode=mode)
    runs.note_chunk(run.id, 0, attempt=run.attempt, status="loaded", rows_loaded=5)
    assert runs.brought_rows(export.id) == at_once
    runs.complete(run.id, attempt=run.attempt)
    assert runs.brought_rows(export.id)


def test_a_run_without_rows_moves_the_position_and_brings_none(runs: Runs, export: Export) -> None:
    run = planned(runs, export.id, 0, 5, chunks=0)
    runs.complete(run.id, attempt=run.attempt)
    assert not runs.brought_rows(export.id)
