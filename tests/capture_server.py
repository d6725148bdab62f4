"""`tidemill serve` for tests that send to it: it is started, killed, and started again at the same address."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from tests.installation import copy_home

from tidemill.app import App
from tidemill.settings import Settings

#: For whatever a test waits for; a machine may be slow and busy.
LIMIT_SECONDS = 240.0
_COLUMNS = ("uuid", "event", "distinct_id", "timestamp", "team_id", "properties", "set", "set_once", "kind", "envelope")


def until(reached: Callable[[], object], what: str, seconds: float = LIMIT_SECONDS) -> None:
    """Wait for that."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"waited for {seconds:g} seconds in vain: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to nobody while the server is away."""
    for port in random.Random().sample(range(15_000, 30_000), 100):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@dataclasses.dataclass
class CaptureServer:
    """An installation with a server, whose store the test reads."""

    app: App
    log: Path
    port: int = dataclasses.field(default_factory=free_port)
    words: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes events."""
        home = self.app.settings.home_path
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidemill", "serve", "--port", str(self.port), *self._roles(), *self.words],
                env={**os.environ, "TIDEMILL_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self.ended() or self.is_ready(), f"the server is ready; see {self.log}")
        assert not self.ended(), self.log.read_text()

    def _roles(self) -> list[str]:
        """All but the web app, which would want a port that is free, unless it is said which."""
        all_others = ("capture", "api", "worker", "scheduler")
        return [] if "--role" in self.words else [word for one in all_others for word in ("--role", one)]

    def ended(self) -> bool:
        """Whether its first process is gone."""
        assert self.process is not None
        return self.process.poll() is not None

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            with urllib.request.urlopen(f"{self.url}/ready", timeout=10) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """`kill -9`, all of it."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """Its processes, if it was told to be several."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if any("spawn_main" in word for word in " ".join(child.cmdline()))]

    def writer(self) -> psutil.Process:
        """Its process that writes, once there is one."""
        assert self.process is not None
        first, found = psutil.Process(self.process.pid), list[psutil.Process]()

        def there() -> bool:
            with contextlib.suppress(psutil.Error):
                found[:] = [child for child in first.children() if "tidemill.api.write" in " ".join(child.cmdline())]
            return bool(found)

        until(there, "there is a writer")
        return found[0]

    def kill_first_process(self) -> None:
        """`kill -9` of the one that looks after the others: they leave by themselves."""
        assert self.process is not None
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        until(lambda: not any(worker.is_running() for worker in workers), "the workers are gone")

    def stop(self) -> int:
        """Have it end. Gives its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(LIMIT_SECONDS)

    def key(self, team_id: int) -> str:
        """A key for the events of a team."""
        key, _ = self.app.keys.create(team_id=team_id, name=None, events_per_second=None, by="tester")
        return key

    def counts(self) -> dict[int, int]:
        """Numbers of events in the store, by team."""
        return dict(self.app.events.count(by="team"))

    def rows(self, team_id: int) -> list[dict[str, Any]]:
        """The events of a team, as the store has them; JSON is read."""
        chosen = ", ".join(f'"{name}"' for name in _COLUMNS)
        with self.app.lake.cursor() as cursor:
            found = cursor.execute(f"SELECT {chosen} FROM lake.events WHERE team_id = ?", [team_id]).fetchall()
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in found]
        for row in rows:
            for name in ("properties", "set", "set_once", "envelope"):
                row[name] = json.loads(row[name]) if row[name] else None
        return rows

    def kill_at_next_commit(
        self, kill: Callable[[], None] | None = None, begin: Callable[[], None] = lambda: None
    ) -> None:
        """Kill it as soon as its next commit, after `begin`, is durable: mostly, before its senders are told so."""
        with self.snapshots() as newest:
            before = newest()
            begin()
            deadline = time.monotonic() + LIMIT_SECONDS
            while newest() == before:
                assert time.monotonic() < deadline, "nothing was committed"
        (kill or self.kill)()

    def kill_while_events_wait(self, begin: Callable[[], None] = lambda: None) -> None:
        """Kill it while nothing can be committed, and senders wait for their answers."""
        with self.app.lake.turn():
            begin()
            until(lambda: all(self.held() > 0 for _ in range(20)), "events wait for their commit")
            self.kill()

    def held(self) -> float:
        """How many bytes wait for their commit, as it says."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=LIMIT_SECONDS) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith("tidemill_capture_held_bytes")).split()[-1])

    @contextlib.contextmanager
    def snapshots(self) -> Iterator[Callable[[], int]]:
        """Tells the newest snapshot of the store, at little cost."""
        with psycopg.connect(self.app.postgres.dsn, autocommit=True) as session:

            def newest() -> int:
                found = session.execute("SELECT max(snapshot_id) FROM tidemill_events.ducklake_snapshot").fetchone()
                return int(found[0]) if found else 0

            yield newest


@contextlib.contextmanager
def serving(made_home: Path, folder: Path, *words: str) -> Iterator[CaptureServer]:
    """A server with a home of its own."""
    home = folder / "home"
    copy_home(made_home, home)
    with App(Settings(home=home)) as app:
        server = CaptureServer(app, folder / "serve.log", words=("--role", "capture", *words))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def capture(made_home: Path, tmp_path: Path) -> Iterator[CaptureServer]:
    """A server of one process."""
    with serving(made_home, tmp_path) as server:
        yield server


@pytest.fixture
def capture_of_two(made_home: Path, tmp_path: Path) -> Iterator[CaptureServer]:
    """A server of two processes."""
    with serving(made_home, tmp_path, "--workers", "2") as server:
        yield server
