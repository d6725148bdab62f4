"""Runs by the Storage Write API: whatever goes wrong at its calls, each event arrives once, or the run says why."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation
from tests.integration.exports.test_storage_write import BY_STREAMS, SERVICE, calls, create, load, tables
from tests.kill_checks import as_a_plain_run_says, write

from tidemill.app import App
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import ConflictError, NotFoundError, TidemillError, UnavailableError
from tidemill.exports.steps import commit

SMALL = {"commit_rows": 100, "chunk_bytes": 30_000, "parallel_loads": 2}
CREATE, APPEND, FINALIZE, COMMIT = (
    f"{SERVICE}{name}" for name in ("CreateWriteStream", "AppendRows", "FinalizeWriteStream", "BatchCommitWriteStreams")
)
GONE = {"grpc_code": "NOT_FOUND", "message": "Requested entity was not found. Entity: projects/p/tables/t/streams/s"}


def fault(path: str, kind: str = "status", **fields: Any) -> dict[str, Any]:
    return {"path": path, "fault": kind, **fields}


PLANS: dict[str, list[dict[str, Any]]] = {
    "no stream is made": [fault(CREATE, nth=2, times=2)],
    "a stream is made, and nobody is told": [fault(CREATE, after_commit=True), fault(CREATE, "cut", after_commit=True)],
    "a table that is not known yet": [fault(CREATE, grpc_code="NOT_FOUND", times=3)],
    "a connection that ends": [fault(APPEND, nth=2, grpc_code="ABORTED"), fault(APPEND, "cut", nth=4)],
    "one that ends after the rows are in": [fault(APPEND, "cut", nth=2, after_commit=True)],
    "answers that are errors": [fault(APPEND, nth=2, grpc_code="INTERNAL", in_response=True, times=2)],
    "errors of what was done": [fault(APPEND, nth=2, grpc_code="INTERNAL", in_response=True, after_commit=True)],
    "too many for now": [fault(APPEND, grpc_code="RESOURCE_EXHAUSTED", in_response=True)],
    "a stream that is gone": [fault(APPEND, "expire_stream", nth=2)],
    "one that another has ended": [fault(APPEND, nth=2, **GONE, in_response=True)],
    "tokens that expire": [fault(path, "expire_tokens") for path in (CREATE, FINALIZE, COMMIT)],
    "tokens that expire on a connection": [fault(APPEND, "expire_tokens", nth=2)],
    "the end of a stream that fails": [fault(FINALIZE, nth=2), fault(FINALIZE, "cut", nth=3, after_commit=True)],
    "a stream that is gone at its end": [fault(FINALIZE, "expire_stream", nth=2)],
    "no commit": [fault(COMMIT, times=2)],
    "a commit, and nobody is told": [fault(COMMIT, after_commit=True)],
    "a commit that is cut off": [fault(COMMIT, "cut", after_commit=True), fault(COMMIT, nth=2)],
    "streams that are gone at the commit": [fault(COMMIT, **GONE)],
    "a commit, nobody is told, and they are gone": [fault(COMMIT, after_commit=True), fault(COMMIT, nth=2, **GONE)],
    "no commit, nobody is told, and they are gone": [fault(COMMIT), fault(COMMIT, nth=2, **GONE)],
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_a_fault_changes_nothing(installation: Installation, tmp_path: Path, plan: list[dict[str, Any]]) -> None:
    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
        installation.local.set_faults(plan)
        (run,) = app.exports.run("daily", by="tester")
        fired = [one["fired"] for one in installation.local.faults()]
        installation.local.set_faults([])
        assert all(fired), fired
        assert run.status == "completed"
        assert installation.uuids() == uuids
        assert app.exports.tables.verify("daily", by="tester").different == ()
        uuids += load(app, tmp_path / "b.jsonl", 100, first=5_000)
        (run,) = app.exports.run("daily", by="tester")
        assert (run.mode, run.rows_done) == ("append", 100)
    assert installation.uuids() == sorted(uuids)
    assert tables(installation) == ["events"]


@pytest.mark.parametrize("which", [name for name in PLANS if "commit" in name or "gone" in name])
def test_a_fault_changes_nothing_of_rows_that_are_merged(
    installation: Installation, tmp_path: Path, which: str
) -> None:
    with installation.app(commit_rows=60, chunk_bytes=2_000) as app:
        installation.connect(app)
        app.exports.create(
            CONNECTION, {"name": "persons", "model": "persons", "table": "persons", **BY_STREAMS}, by="t"
        )
        chance = random.Random(5)
        for turn in range(4):
            write(tmp_path / f"{turn}.jsonl", chance, turn * 1_000)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            app.sources["persons"].catch_up()  # chunks are cut between such steps
            if turn == 1:
                app.exports.run("persons", by="t")
        installation.local.set_faults(PLANS[which])
        (run,) = app.exports.run("persons", by="t")
        assert (run.status, len(run.chunks)) == ("completed", 2)
        fired = [one["fired"] for one in installation.local.faults()]
        installation.local.set_faults([])
        assert all(fired), fired
        as_a_plain_run_says(installation, app, "persons", 1)


@pytest.mark.parametrize("seed", range(6))
def test_seeded_faults_change_nothing(installation: Installation, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    faults = [one for plan in PLANS.values() for one in plan if one["fault"] != "expire_tokens"]
    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids: list[str] = []
        for turn in range(3):
            uuids += load(app, tmp_path / f"{turn}.jsonl", 400, first=turn * 1_000)
            plan = [{**draw.choice(faults), "nth": draw.randint(1, 5)} for _ in range(4)]
            installation.local.set_faults(plan)
            app.exports.run("daily", by="tester")
            installation.local.set_faults([])
            assert installation.uuids() == sorted(uuids), plan


def expire(installation: Installation, streams: list[str | None]) -> None:
    """BigQuery has forgotten these streams, committed or not."""
    client = installation.client()
    writing = WriteStreams(client)
    installation.local.set_faults([fault(FINALIZE, "expire_stream", times=len(streams))])
    for name in streams:
        with pytest.raises(NotFoundError):
            writing.finalize(str(name))
    installation.local.set_faults([])
    writing.close()
    client.close()


def commit_fails(installation: Installation, app: App, *, done: bool) -> None:
    """A run whose commit is not answered, whether it was done or not."""
    installation.local.set_faults([fault(COMMIT, times=10_000, after_commit=done)])
    with pytest.raises(UnavailableError):
        app.exports.run("daily", by="tester")
    installation.local.set_faults([])


def streams_of(app: App) -> list[str | None]:
    (run,) = app.exports.runs.find("daily", limit=1)
    return [chunk.job_id for chunk in run.chunks if chunk.job_id]


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("done", [False, True])
def test_a_commit_that_nobody_heard_of_is_settled_by_the_next_attempt(
    installation: Installation, tmp_path: Path, done: bool, gone: bool
) -> None:
    with installation.app(**SMALL, retry_deadline_seconds=0.5) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
        app.exports.run("daily", by="tester")
        uuids += load(app, tmp_path / "b.jsonl", 500, first=1_000)
        commit_fails(installation, app, done=done)
        assert len(installation.uuids()) == (1_000 if done else 500)
        made = len(calls(installation, "CreateWriteStream"))
        if gone:
            expire(installation, streams_of(app))
        (run,) = app.exports.run("daily", by="tester")
        assert (run.status, run.attempt) == ("completed", 2)
        assert run.mode == ("merge" if gone else "append")
        assert run.rows_done == (0 if gone and done else 500)
        assert any("not known whether" in note for note in run.notes) == gone
        assert not any("before this export's first run" in note for note in run.notes)
        assert (len(calls(installation, "CreateWriteStream")) > made) == gone
        assert installation.uuids() == sorted(uuids)
        uuids += load(app, tmp_path / "c.jsonl", 50, first=5_000)
        (run,) = app.exports.run("daily", by="tester")
        assert run.mode == "append"
        assert installation.uuids() == sorted(uuids)
    assert tables(installation) == ["events"]


@pytest.mark.parametrize("done", [False, True])
def test_rows_without_a_key_wait_for_somebody_who_looks(installation: Installation, tmp_path: Path, done: bool) -> None:
    bounds = "inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end}"
    with installation.app(**SMALL, retry_deadline_seconds=0.5) as app:
        create(installation, app, table="mine", sql=f"SELECT uuid FROM events WHERE {bounds}")
        uuids = load(app, tmp_path / "a.jsonl", 200)
        commit_fails(installation, app, done=done)
        expire(installation, streams_of(app))
        for _ in range(2):
            with pytest.raises(ConflictError) as caught:
                app.exports.run("daily", by="tester")
            assert caught.value.code == "commit_unconfirmed"
            assert "200 rows" in caught.value.message
            assert "--not-arrived" in caught.value.hint
        (run,) = app.exports.runs.find("daily", limit=1)
        words = ("export", "run", "retry", run.short_id, "--arrived" if done else "--not-arrived", "--json")
        retried = installation.run(*words)
        assert retried.returncode == 0, retried.stderr
        assert installation.uuids("mine") == uuids
        uuids += load(app, tmp_path / "b.jsonl", 100, first=1_000)
        app.exports.run("daily", by="tester")
        assert installation.uuids("mine") == sorted(uuids)


def test_a_run_that_failed_after_its_commit_does_not_need_the_streams(
    installation: Installation, tmp_path: Path
) -> None:
    """Its log could not be written; when it is gone on with, BigQuery has forgotten them."""
    with installation.app(**SMALL) as app:
        create(installation, app, run_log=True)
        uuids = load(app, tmp_path / "a.jsonl", 300)
        installation.local.set_faults(
            [fault("/bigquery/v2/projects/[^/]+/jobs", method="POST", status=403, reason="accessDenied")]
        )
        with pytest.raises(TidemillError):
            app.exports.run("daily", by="tester")
        expire(installation, streams_of(app))
        (run,) = app.exports.run("daily", by="tester")
        assert (run.mode, run.attempt, run.rows_done) == ("append", 2, 300)
    assert installation.uuids() == uuids
    (logged,) = [row for row in installation.rows("tidemill_runs") if row["run_id"]]
    assert (logged["row_count"], len(logged["job_ids"])) == (300, len(run.chunks))


def test_streams_that_are_dropped_each_time_fail_the_run_which_load_jobs_finish(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 300)
        installation.local.set_faults([fault(FINALIZE, "expire_stream", times=10_000)])
        with pytest.raises(UnavailableError) as caught:
            app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        assert caught.value.code == "streams_dropped"
        assert "--delivery load" in caught.value.hint
        (failed,) = app.exports.runs.find("daily", limit=1)
        assert len(calls(installation, "CreateWriteStream")) == commit.ROUNDS * len(failed.chunks)
        app.exports.edit("daily", {"delivery": "load"})
        (run,) = app.exports.run("daily", by="tester")
        assert (run.attempt, run.mode, run.rows_done) == (2, "append", 300)
        assert not any("streams" in str(chunk.job_id) for chunk in run.chunks)
    assert installation.uuids() == uuids


def test_a_merge_that_failed_can_be_gone_on_with_by_load_jobs(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        app.exports.create(
            CONNECTION, {"name": "persons", "model": "persons", "table": "persons", **BY_STREAMS}, by="t"
        )
        write(tmp_path / "a.jsonl", random.Random(1), 0)
        app.events.load(str(tmp_path / "a.jsonl"))
        merge = {"path": "/bigquery/v2/projects/[^/]+/jobs", "method": "POST", "fault": "job_error"}
        installation.local.set_faults([{**merge, "reason": "invalidQuery"}])
        with pytest.raises(TidemillError):
            app.exports.run("persons", by="t")
        installation.local.set_faults([])
        app.exports.edit("persons", {"delivery": "load"})
        (run,) = app.exports.run("persons", by="t")
        assert (run.attempt, run.status) == (2, "completed")
        assert not any("streams" in str(chunk.job_id) for chunk in run.chunks)
        as_a_plain_run_says(installation, app, "persons", 1)


def test_once_a_commit_is_begun_the_run_stays_with_its_streams(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL, retry_deadline_seconds=0.5) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 300)
        commit_fails(installation, app, done=True)
        app.exports.edit("daily", {"delivery": "load"})
        (run,) = app.exports.run("daily", by="tester")
        assert all("streams" in str(chunk.job_id) for chunk in run.chunks)
        assert installation.uuids() == uuids
        uuids += load(app, tmp_path / "b.jsonl", 100, first=1_000)
        (run,) = app.exports.run("daily", by="tester")
        assert not any("streams" in str(chunk.job_id) for chunk in run.chunks)
    assert installation.uuids() == sorted(uuids)


def test_an_export_that_is_deleted_with_a_commit_begun_brings_nothing_later(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL, retry_deadline_seconds=0.5) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 300)
        commit_fails(installation, app, done=False)
        streams = streams_of(app)
        app.exports.delete("daily")
        assert installation.uuids() == uuids, "it is ended"
        app.exports.create(CONNECTION, {"name": "daily", "table": "events", **BY_STREAMS}, by="tester")
        (run,) = app.exports.run("daily", by="tester")
        assert (run.mode, run.rows_done) == ("merge", 0)
        client = installation.client()
        late = WriteStreams(client)
        late.commit(installation.dataset, "events", [str(name) for name in streams])  # of a process that wakes up
        late.close()
        client.close()
    assert installation.uuids() == uuids
