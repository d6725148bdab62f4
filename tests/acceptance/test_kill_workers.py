"""Workers that are killed, frozen and cut off while they run what is due: each event is there once, each interval run
once, and nothing is left standing."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.installation import Installation, write_events
from tests.kill_workers import EVENTS, EXPORTS, SILENT, begin_backfill, exact
from tests.schedules import make, now, queue, queued
from tests.served import Server
from tests.stream_kills import kill_postgres
from tests.streams import eventually

SMALL = {"TIDEMILL_CHUNK_BYTES": "3000", "TIDEMILL_PARALLEL_LOADS": "2"}


@pytest.fixture
def workers(installation: Installation, tmp_path: Path) -> Iterator[list[Server]]:
    made = [Server(installation, tmp_path / f"{number}.log") for number in range(2)]
    yield made
    for server in made:
        server.kill()


def harm(installation: Installation, server: Server, how: str) -> None:
    """Do it to what works for a server."""
    found = server.background()
    with contextlib.suppress(psutil.Error):
        match how:
            case "kill" if found:
                found.kill()
            case "freeze" if found:
                found.suspend()
                with installation.app() as app:
                    app.engine.launch()  # its table of workers is there then
                    with app.database.begin() as connection:
                        connection.exec_driver_sql(SILENT, (found.pid,))
                time.sleep(6)  # others look for such this often
                found.resume()
            case "kill all":
                server.kill()
                server.start("--role", "worker", **SMALL)
            case "postgres":
                kill_postgres(installation.home)


def rounds(installation: Installation, folder: Path, workers: list[Server], turns: int, seed: int) -> None:
    """Events come and intervals end, again and again; in each turn something is done to a worker."""
    draw, uuids, ends = random.Random(seed), list[str](), []
    with installation.app(commit_rows=10) as app:
        installation.connect(app)
        for name, fields in EXPORTS.items():
            make(app, name, **fields)
    for server in workers:
        server.start("--role", "worker", **SMALL)
    for turn in range(turns):
        file = folder / f"{turn}.jsonl"
        uuids += write_events(file, EVENTS, first=turn * EVENTS)
        with installation.app(commit_rows=10) as app:
            app.events.load(str(file))
            ends.append(now())
            for name in EXPORTS:
                queue(app, ends, name)
            if turn == turns // 2:
                begin_backfill(app)
        time.sleep(draw.uniform(0, 3))
        harm(installation, draw.choice(workers), draw.choice(["kill", "kill", "freeze", "kill all", "postgres"]))
    with installation.app() as app:
        eventually(lambda: not any(queued(app, name) for name in EXPORTS), "all intervals are run")
        eventually(lambda: not app.pieces.any(), "the backfill is over")
        for server in workers:
            assert server.stop() == 0, server.said
        exact(installation, app, sorted(uuids), turns)


def test_workers_that_are_killed_and_frozen(installation: Installation, tmp_path: Path, workers: list[Server]) -> None:
    rounds(installation, tmp_path, workers, turns=3, seed=20_261_126)


@pytest.mark.torture
def test_workers_that_are_killed_and_frozen_for_long(
    installation: Installation, tmp_path: Path, workers: list[Server]
) -> None:
    rounds(installation, tmp_path, workers, turns=60, seed=time.time_ns())
