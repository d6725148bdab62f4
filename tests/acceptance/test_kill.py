"""Exactly once, however often it is killed: `kill -9` in the middle of loads and exports, and begun again."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest
from tests.installation import CONNECTION, Installation, kill_when, write_events

from tidemill.app import App

EVENTS, COMMITS = 3_000, 12
SMALL = {"TIDEMILL_COMMIT_ROWS": "250", "TIDEMILL_CHUNK_BYTES": "30000"}
#: How much of the chunks is loaded when an export is killed. Write streams are committed when all of them are.
SHARES = {"load": [0, 0, 0.2, 0.5, 0.7], "storage-write": [0, 0.3, 0.7, 1, 1]}


def kill_load(installation: Installation, app: App, file: Path, commits: int) -> bool:
    """Load a file, and kill that after so many commits. Whether it was in the middle of it."""
    before, (_, rows) = app.lake.position(), app.events.count()[0]
    process = installation.start("events", "load", str(file), **SMALL)
    kill_when(process, lambda: len(app.lake.commits(before, 2**62)) >= commits)
    return before < app.lake.position() and app.events.count()[0][1] < rows + EVENTS


def kill_export(installation: Installation, app: App, share: float) -> bool:
    """Export, and kill that when such a share of the chunks is loaded. Whether it was in the middle of it."""
    numbers = [run.number for run in app.exports.runs.find("daily", limit=1) if run.status == "completed"]

    def reached() -> bool:
        run = next(iter(app.exports.runs.find("daily", limit=1)), None)
        if run is None or [run.number] == numbers or not run.chunks:
            return False
        return sum(chunk.status == "loaded" for chunk in run.chunks) >= share * len(run.chunks)

    kill_when(installation.start("export", "run", "daily", **SMALL), reached)
    with psycopg.connect(app.postgres.dsn) as session:  # PostgreSQL needs a moment to see that a process is gone
        for (worker,) in session.execute("SELECT worker FROM tidemill.runs WHERE status = 'running'").fetchall():
            while app.engine.alive(worker):
                pass
    return any(run.status == "interrupted" for run in app.exports.runs.find("daily", limit=1))


def rounds(installation: Installation, tmp_path: Path, kills: int, seed: int, **fields: str) -> None:
    """Load and export, file after file, until as many loads and as many exports were killed in the middle."""
    draw = random.Random(seed)
    killed = {"load": 0, "export": 0}
    acknowledged: list[str] = []
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events", **fields}, by="tester")
        for turn in range(3 * kills):
            file = tmp_path / f"events-{turn}.jsonl"
            acknowledged += write_events(file, EVENTS, first=turn * EVENTS)
            killed["load"] += kill_load(installation, app, file, draw.randint(1, COMMITS - 4))
            assert installation.run("events", "load", str(file), **SMALL).returncode == 0
            for _ in range(draw.randint(1, 2)):
                killed["export"] += kill_export(installation, app, draw.choice(SHARES[fields.get("delivery", "load")]))
            done = installation.run("export", "run", "daily", **SMALL)
            assert done.returncode == 0, done.stderr
            assert installation.uuids() == sorted(acknowledged)
            if min(killed.values()) >= kills:
                break
        assert min(killed.values()) >= kills, killed
        assert app.events.count() == [(None, len(acknowledged))]


def test_killed_half_a_dozen_times_every_event_is_there_once(installation: Installation, tmp_path: Path) -> None:
    rounds(installation, tmp_path, kills=3, seed=20_260_101)


def test_killed_again_and_again_by_write_streams_every_event_is_there_once(
    installation: Installation, tmp_path: Path
) -> None:
    rounds(installation, tmp_path, kills=2, seed=20_260_102, delivery="storage-write")


@pytest.mark.torture
def test_killed_a_hundred_times_by_write_streams_every_event_is_there_once(
    installation: Installation, tmp_path: Path
) -> None:
    rounds(installation, tmp_path, kills=50, seed=time.time_ns(), delivery="storage-write")


@pytest.mark.torture
def test_killed_a_hundred_times_every_event_is_there_once(installation: Installation, tmp_path: Path) -> None:
    rounds(installation, tmp_path, kills=50, seed=time.time_ns())


def test_two_loads_and_two_exports_at_once_add_each_event_once(installation: Installation, tmp_path: Path) -> None:
    uuids = write_events(tmp_path / "events.jsonl", EVENTS)
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
    loads = [installation.start("events", "load", str(tmp_path / "events.jsonl"), **SMALL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in loads] == [0, 0]
    for process in loads:
        process.communicate()
    runs = [installation.start("export", "run", "daily", **SMALL) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in runs]
    codes = sorted(process.returncode for process in runs)
    assert codes in ([0, 0], [0, 5]), said
    if codes == [0, 5]:
        assert any("is running" in text for text in said)
    assert installation.uuids() == uuids


def test_ctrl_c_cancels_the_run_and_the_next_one_goes_on(installation: Installation, tmp_path: Path) -> None:
    uuids = write_events(tmp_path / "events.jsonl", EVENTS)
    with installation.app(commit_rows=50) as app:
        installation.connect(app)
        app.events.load(str(tmp_path / "events.jsonl"))
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
    process = installation.start("export", "run", "daily", TIDEMILL_CHUNK_BYTES="1500", TIDEMILL_PARALLEL_LOADS="1")
    client = installation.client()
    while process.poll() is None and not (table := client.get_table(installation.dataset, "events")):
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    client.close()
    assert table is not None
    assert process.returncode == 130, said
    assert "cancelled" in said.lower()
    (run,) = json.loads(installation.run("export", "runs", "daily", "--json").stdout)
    assert run["status"] == "cancelled"
    assert len(installation.uuids()) < len(uuids)
    assert installation.run("export", "run", "daily").returncode == 0
    assert installation.uuids() == uuids


def test_another_process_cancels_a_run(installation: Installation, tmp_path: Path) -> None:
    uuids = write_events(tmp_path / "events.jsonl", EVENTS)
    with installation.app(commit_rows=50) as app:
        installation.connect(app)
        app.events.load(str(tmp_path / "events.jsonl"))
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
    process = installation.start("export", "run", "daily", TIDEMILL_CHUNK_BYTES="1500", TIDEMILL_PARALLEL_LOADS="1")
    with installation.app() as app:
        while not (runs := app.exports.runs.find("daily", limit=1)):
            assert process.poll() is None
        second = installation.run("export", "run", "daily")
        assert (second.returncode, "is running" in second.stderr) == (5, True)
        assert app.exports.runs.cancel(runs[0].short_id).status == "cancelled"
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert installation.run("export", "run", "daily").returncode == 0
    assert installation.uuids() == uuids


@pytest.mark.parametrize("stop", ["ctrl-c", "pause", "cancel"])
def test_a_backfill_that_was_stopped_does_not_end_as_if_it_were_done(
    installation: Installation, tmp_path: Path, stop: str
) -> None:
    write_events(tmp_path / "events.jsonl", EVENTS)
    with installation.app() as app:
        installation.connect(app)
        app.events.load(str(tmp_path / "events.jsonl"))
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        app.exports.run("daily", by="tester")
    words = ("export", "backfill", "daily", "--from", "earliest", "--every", "hour", "--parallel", "1")
    process = installation.start(*words)
    with installation.app() as app:
        while not ((found := app.exports.backfills.find("daily", limit=1)) and found[0].intervals_done):
            assert process.poll() is None
        if stop == "ctrl-c":
            process.send_signal(signal.SIGINT)
        else:
            app.exports.backfills.stop("daily", cancel=stop == "cancel")
        _, said = process.communicate(timeout=60)
        (view,) = app.exports.backfills.find("daily", limit=1)
    assert view.status == ("cancelled" if stop == "cancel" else "paused")
    assert view.intervals_done < view.intervals
    assert process.returncode == 130, said
    if stop != "cancel":
        assert installation.run("export", "backfill", "resume", "daily").returncode == 0


def test_an_export_that_was_killed_can_be_deleted_and_made_anew(installation: Installation, tmp_path: Path) -> None:
    uuids = write_events(tmp_path / "events.jsonl", EVENTS)
    with installation.app() as app:
        installation.connect(app)
        assert installation.run("events", "load", str(tmp_path / "events.jsonl"), **SMALL).returncode == 0
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        assert any(kill_export(installation, app, share) for share in (0.3, 0.2, 0, 0))
        app.exports.delete("daily")
        assert not list((installation.home / "exports").iterdir())
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        assert any(kill_export(installation, app, share) for share in (0.3, 0.2, 0, 0))
        app.exports.delete("daily")
        client = installation.client()
        assert client.list_tables(installation.dataset) == ["events"], "no stage table is left"
        client.close()
        app.exports.create(CONNECTION, {"name": "anew", "table": "events"}, by="tester")
        (run,) = app.exports.run("anew", by="tester")
        assert run.mode == "merge"
    assert installation.uuids() == uuids
