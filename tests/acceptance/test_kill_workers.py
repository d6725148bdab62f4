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
from tests.installation import Installation
from tests.kill_workers import SILENT, come, exact, make_exports, settled
from tests.served import Server
from tests.stream_kills import kill_postgres

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
    draw, uuids = random.Random(seed), list[str]()
    with installation.app() as app:
        installation.connect(app)
        make_exports(app)
    for server in workers:
        server.start("--role", "worker", **SMALL)
    for _ in come(installation, folder, turns, draw, uuids):
        harm(installation, draw.choice(workers), draw.choice(["kill", "kill", "freeze", "kill all", "postgres"]))
    with installation.app() as app:
        settled(app)
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
