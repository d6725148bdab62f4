"""Runs by the Storage Write API that are cancelled, gone on with, or moved by two at once: each event arrives once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation
from tests.integration.exports.test_storage_write import calls, create, load
from tests.integration.exports.test_storage_write_faults import APPEND, COMMIT, CREATE, FINALIZE, SMALL, fault

from tidemill.bigquery import write_streams
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import Cancelled, ConflictError, TidemillError
from tidemill.exports.service import RunProgress
from tidemill.exports.steps import commit, send
from tidemill.store.records import Chunk


def test_a_cancelled_run_has_brought_nothing_and_the_next_one_goes_on(
    installation: Installation, tmp_path: Path
) -> None:
    def stop(state: RunProgress) -> None:
        if state.chunks_done == 2:
            app.exports.runs.interrupt()

    with installation.app(**{**SMALL, "parallel_loads": 1}) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
        with pytest.raises(Cancelled):
            app.exports.run("daily", by="tester", progress=stop)
        (run,) = app.exports.runs.find("daily", limit=1)
        assert (run.status, installation.uuids()) == ("cancelled", [])
        done = sum(chunk.status == "loaded" for chunk in run.chunks)
        before = len(calls(installation, "CreateWriteStream"))
        (run,) = app.exports.run("daily", by="tester")
        assert len(calls(installation, "CreateWriteStream")) - before == len(run.chunks) - done < len(run.chunks)
    assert installation.uuids() == uuids


@pytest.mark.parametrize("path", [CREATE, APPEND, FINALIZE, COMMIT])
def test_an_interrupt_is_seen_while_bigquery_is_silent_or_down(
    installation: Installation, tmp_path: Path, path: str
) -> None:
    kind = fault(path, "delay_response", seconds=600) if path == APPEND else fault(path, times=100_000)
    with installation.app(**SMALL, retry_deadline_seconds=100_000) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 300)
        installation.local.set_faults([kind])

        def interrupt_once_it_fails() -> None:
            while not any(one["fired"] for one in installation.local.faults()):
                time.sleep(0.05)
            app.exports.runs.interrupt()

        watcher = threading.Thread(target=interrupt_once_it_fails, daemon=True)
        watcher.start()
        with pytest.raises(Cancelled):
            app.exports.run("daily", by="tester")
        watcher.join()
        installation.local.set_faults([])
        assert installation.uuids() == []
        app.exports.run("daily", by="tester")
    assert installation.uuids() == uuids


def test_an_older_attempt_can_neither_record_nor_commit_anything(installation: Installation, tmp_path: Path) -> None:
    refused: list[str] = []

    def wake_up(state: RunProgress) -> None:
        if state.doing == "committing" and not refused:
            parts, run = app.exports._made.parts, app.exports.runs.find("daily", limit=1)[0]
            steps: list[Any] = [lambda: send.send(parts, str(run.id), 1, 0)]
            steps += [lambda: commit.commit(parts, str(run.id), 1, False)]
            for step in steps:
                with pytest.raises(ConflictError) as caught:
                    step()
                refused.append(caught.value.code)

    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
        installation.local.set_faults([fault(APPEND, nth=4, grpc_code="INVALID_ARGUMENT")])
        with pytest.raises(TidemillError, match="A fault that was asked for"):
            app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        assert installation.uuids() == []
        (run,) = app.exports.run("daily", by="tester", progress=wake_up)
        assert (run.attempt, run.status) == (2, "completed")
    assert refused == ["run_taken_over"] * 2
    assert installation.uuids() == uuids


def test_two_processes_at_one_attempt_bring_each_row_once(installation: Installation, tmp_path: Path) -> None:
    """One lost its session, and does not know: both send each chunk, and both commit."""
    others: list[threading.Thread] = []
    asked: set[str] = set()

    def the_other(step: Any, *arguments: Any) -> None:
        others.append(threading.Thread(target=step, args=(app.exports._made.parts, *arguments), daemon=True))
        others[-1].start()

    def at_once(state: RunProgress) -> None:
        if state.doing in asked or state.doing == "looking for what is new":
            return
        asked.add(state.doing)
        (run,) = app.exports.runs.find("daily", limit=1)
        if state.doing.startswith("sending chunk"):
            the_other(send.send, str(run.id), 1, int(state.doing.rpartition(" ")[2]) - 1)
        if state.doing == "committing":
            the_other(commit.commit, str(run.id), 1, False)

    with installation.app(**{**SMALL, "parallel_loads": 1}) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
        (run,) = app.exports.run("daily", by="tester", progress=at_once)
        for thread in others:
            thread.join(60)
        assert len(others) == len(run.chunks) + 1
        assert (run.status, run.rows_done) == ("completed", 500)
        again = app.exports.runs.find("daily", limit=1)[0]
        assert (again.status, again.rows_done) == ("completed", 500)
    assert len(calls(installation, "CreateWriteStream")) > len(run.chunks)
    assert installation.uuids() == uuids


def test_two_runs_at_once_bring_each_row_once(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
    small = {f"TIDEMILL_{name.upper()}": str(value) for name, value in SMALL.items()}
    runs = [installation.start("export", "run", "daily", **small) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in runs]
    assert sorted(process.returncode for process in runs) in ([0, 0], [0, 5]), said
    assert installation.uuids() == uuids


def test_a_stream_that_is_gone_since_another_process_has_committed_it(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one attempt, too: it finds no commit begun, and then not the streams; in between the other one did it all."""
    finalize, turns = commit._finalize, []

    def finalized(writing: WriteStreams, chunks: Sequence[Chunk]) -> None:
        finalize(writing, chunks)
        turns.append(1)
        if len(turns) == 1:
            runs, run = app.exports._made.parts.runs, app.exports.runs.find("daily", limit=1)[0]
            streams = [str(chunk.job_id) for chunk in chunks]
            assert runs.commits.begin(run.id, streams, attempt=1)
            writing.commit(installation.dataset, "events", streams)
            raise write_streams.gone("They are forgotten as soon as they are committed.")

    monkeypatch.setattr(commit, "_finalize", finalized)
    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 500)
        (run,) = app.exports.run("daily", by="tester")
        assert (run.status, run.mode, run.rows_done) == ("completed", "merge", 0)
    assert installation.uuids() == uuids
