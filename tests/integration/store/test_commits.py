"""What is written down of commits of write streams, by whom, and what a process that wakes up late can do to it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.store.test_runs import BROKEN, code_of, finish, planned

from tidemill.store import commits
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.records import Run
from tidemill.store.runs import Runs

LAYOUT = {"columns": ["a"], "location": "EU", "partition": None}


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database)


@pytest.fixture
def sent(database: Database, runs: Runs) -> Run:
    """A run whose chunks are in the streams s0 and s1."""
    owner = Connections(database).add(name="c", project="p", dataset="d", adc=True, connected_by="me")
    fields = {"name": "e", "model": "events", "project": "p", "dataset": "d", "table_id": "t"}
    export = Exports(database).add(**fields, connection_id=owner.id, spec={}, created_by="me")
    run = planned(runs, export.id, 0, 5)
    runs.note(run.id, attempt=1, layout=LAYOUT)
    send(runs, run, "s0", "s1")
    return runs.by_id(run.id)


def send(runs: Runs, run: Run, *streams: str) -> None:
    for number, name in enumerate(streams):
        runs.note_chunk(run.id, number, attempt=run.attempt, status="loaded", rows_loaded=3, job_id=name)


def names(runs: Runs, run: Run) -> list[str | None]:
    return [chunk.job_id for chunk in runs.chunks(run.id)]


def test_a_commit_is_begun_once_and_is_that_of_its_streams(runs: Runs, sent: Run) -> None:
    streams = ["s0", "s1"]
    assert not commits.is_begun(sent, streams)
    assert runs.commits.begin(sent.id, streams, attempt=1)
    assert not runs.commits.begin(sent.id, streams, attempt=1), "somebody has begun it"
    now = runs.by_id(sent.id)
    assert (commits.is_begun(now, streams), commits.is_done(now, streams)) == (True, False)
    assert not commits.is_begun(now, ["s0"])
    runs.note(sent.id, attempt=1, layout={**LAYOUT, "columns": ["a", "b"]}, worker="second")  # prepared again
    runs.commits.done(sent.id, streams, attempt=1)
    now = runs.by_id(sent.id)
    assert (commits.is_begun(now, streams), commits.is_done(now, streams)) == (True, True)
    assert now.layout is not None
    assert (now.layout["columns"], now.layout["location"]) == (["a", "b"], "EU")


def test_chunks_that_are_begun_anew_have_another_commit(runs: Runs, sent: Run) -> None:
    streams = ["s0", "s1"]
    runs.commits.begin(sent.id, streams, attempt=1)
    runs.commits.forget(sent.id, streams, attempt=1, layout={"unsure": "stage"}, mode="merge")
    now = runs.by_id(sent.id)
    assert (now.mode, now.layout and now.layout["unsure"], names(runs, sent)) == ("merge", "stage", [None, None])
    assert {(chunk.status, chunk.rows_loaded) for chunk in runs.chunks(sent.id)} == {("planned", 0)}
    assert not commits.is_begun(now, streams)
    send(runs, sent, "t0", "t1")
    # Who does not know of that can neither begin the old commit, nor forget the new streams.
    assert code_of(runs.commits.begin, sent.id, streams, attempt=1) == "run_taken_over"
    assert code_of(runs.commits.forget, sent.id, streams, attempt=1) == "run_taken_over"
    runs.commits.done(sent.id, streams, attempt=1)
    assert not commits.is_done(runs.by_id(sent.id), ["t0", "t1"])
    assert runs.commits.begin(sent.id, ["t0", "t1"], attempt=1)
    assert names(runs, sent) == ["t0", "t1"]


def test_streams_whose_commit_another_process_began_are_not_forgotten_unknowingly(runs: Runs, sent: Run) -> None:
    streams = ["s0", "s1"]
    runs.commits.begin(sent.id, streams, attempt=1)
    assert not runs.commits.forget(sent.id, streams, attempt=1, begun=False)
    assert names(runs, sent) == streams
    assert runs.commits.forget(sent.id, streams, attempt=1)
    send(runs, sent, "t0", "t1")
    assert runs.commits.forget(sent.id, ["t0", "t1"], attempt=1, begun=False)


def test_what_is_committed_is_not_forgotten(runs: Runs, sent: Run) -> None:
    streams = ["s0", "s1"]
    runs.commits.begin(sent.id, streams, attempt=1)
    runs.commits.done(sent.id, streams, attempt=1)
    assert code_of(runs.commits.forget, sent.id, streams, attempt=1) == "run_taken_over"
    finish(runs, sent)
    assert code_of(runs.commits.forget, sent.id, streams, attempt=1) == "run_taken_over"
    assert names(runs, sent) == streams


def test_an_older_attempt_changes_nothing(runs: Runs, sent: Run) -> None:
    runs.fail(sent.id, BROKEN, cancelled=False, attempt=1)
    newer = runs.resume(sent.id, "second", expected_attempt=1)
    streams = ["s0", "s1"]
    calls: list[Any] = [runs.commits.begin, runs.commits.done, runs.commits.forget]
    for call in calls:
        assert code_of(call, sent.id, streams, attempt=1) == "run_taken_over"
    assert names(runs, newer) == streams
    assert runs.commits.begin(newer.id, streams, attempt=2)


def test_a_chunk_keeps_the_stream_that_was_recorded_first(runs: Runs, sent: Run) -> None:
    runs.note_chunk(sent.id, 0, attempt=1, status="loaded", rows_loaded=9, job_id="late")
    assert [(chunk.job_id, chunk.rows_loaded) for chunk in runs.chunks(sent.id)] == [("s0", 3), ("s1", 3)]
