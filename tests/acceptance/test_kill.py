"""Exactly once, however often it is killed: `kill -9` at random moments of load and export, and begun again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation, write_events

EVENTS = 3_000
SMALL = {"TIDEMILL_COMMIT_ROWS": "250", "TIDEMILL_CHUNK_BYTES": "30000"}


def kill_within(installation: Installation, longest: float, draw: random.Random, *arguments: str) -> bool:
    """Start a command and kill it at a random moment. True if it was alive then."""
    process = installation.start(*arguments, **SMALL)
    try:
        process.communicate(timeout=draw.uniform(0.0, longest))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def timed(installation: Installation, *arguments: str) -> float:
    """Run a command to its good end; how long it took says where kills make sense."""
    began = time.monotonic()
    done = installation.run(*arguments, **SMALL)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def rounds(installation: Installation, tmp_path: Path, number: int, seed: int) -> None:
    draw = random.Random(seed)
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
    acknowledged: list[str] = []
    longest = {"load": 0.0, "export": 0.0}
    for turn in range(number):
        file = tmp_path / f"events-{turn}.jsonl"
        uuids = write_events(file, EVENTS, first=turn * EVENTS)
        load, export = ("events", "load", str(file)), ("export", "run", "daily")
        if turn:
            for _ in range(draw.randint(1, 2)):
                kill_within(installation, longest["load"], draw, *load)
        longest["load"] = max(longest["load"], timed(installation, *load))
        acknowledged += uuids
        if turn:
            for _ in range(draw.randint(1, 2)):
                kill_within(installation, longest["export"], draw, *export)
        longest["export"] = max(longest["export"], timed(installation, *export))
        assert installation.uuids() == sorted(acknowledged)
    with installation.app() as app:
        assert app.events.count() == [(None, len(acknowledged))]


def test_killed_a_dozen_times_every_event_is_there_once(installation: Installation, tmp_path: Path) -> None:
    rounds(installation, tmp_path, number=7, seed=20_260_101)


@pytest.mark.torture
def test_killed_a_hundred_times_every_event_is_there_once(installation: Installation, tmp_path: Path) -> None:
    rounds(installation, tmp_path, number=51, seed=time.time_ns())


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
        while not (runs := app.exports.runs("daily", limit=1)):
            assert process.poll() is None
        second = installation.run("export", "run", "daily")
        assert (second.returncode, "is running" in second.stderr) == (5, True)
        assert app.exports.cancel(runs[0].short_id).status == "cancelled"
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert installation.run("export", "run", "daily").returncode == 0
    assert installation.uuids() == uuids
