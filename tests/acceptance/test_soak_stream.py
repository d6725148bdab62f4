"""SDKs send and a stream moves, for an hour, while all is killed that can be: each event once, and memory stays.

``TIDEMILL_SOAK_SECONDS`` is how long. Processes are killed in the first quarter, and near the end. In between they
live, with faults of BigQuery alone, so that memory that grows can be seen.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.capture_server import LIMIT_SECONDS, CaptureServer, until
from tests.installation import Installation, copy_home
from tests.stream_kills import kill_postgres, make, send_all
from tests.streams import NAME

from tidemill.bigquery.local import faults

pytestmark = pytest.mark.torture

SECONDS = float(os.environ.get("TIDEMILL_SOAK_SECONDS", "3600"))
#: Of the time: until when processes are killed, from when on again, and where the two spans that are compared begin.
CALM, WILD = 0.25, 0.95
EARLY, LATE = (0.25, 0.5), (0.75, 0.95)
SENDERS, REQUESTS_PER_SECOND, EVENTS_PER_REQUEST = 4, 5.0, 5
#: Of the requests: with one event more that was acknowledged before; that the server sets aside; that BigQuery refuses.
DUPLICATES, BAD, REFUSED = 0.1, 0.05, 0.01
#: A time that BigQuery takes into no stream.
LONG_AGO = "2001-01-01T00:00:00Z"
#: How much more memory the late span may show than the early one: caches of DuckDB and Python's heap come and go.
MORE_SHARE, MORE_BYTES = 0.15, 48_000_000
_AGAIN_SECONDS = 0.2


class Sender(threading.Thread):
    """Sends at a steady rate, as an SDK does: what was not acknowledged is sent again, the same.

    `acknowledged`, `bad` and `refused`: uuids of events that are to be in the table, that the server sets aside, and
    that the stream does.
    """

    def __init__(self, port: int, key: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port, self._key, self._number, self._stopping = port, key, number, stop
        self._connection: http.client.HTTPConnection | None = None
        self._draw = random.Random(number)
        self.acknowledged: list[str] = []
        self.bad: list[str] = []
        self.refused: list[str] = []
        self.again = self.duplicates = 0

    def run(self) -> None:
        """See the class."""
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due += 1 / REQUESTS_PER_SECOND
            names = [str(uuid.uuid4()) for _ in range(EVENTS_PER_REQUEST)]
            bad, refused = self._some(BAD), self._some(REFUSED)
            twice = [self._draw.choice(self.acknowledged)] if self.acknowledged and self._some(DUPLICATES) else []
            batch = [self._event(name) for name in names + twice]
            batch += [self._event(name, event="") for name in bad]
            batch += [self._event(name, timestamp=LONG_AGO) for name in refused]
            self._draw.shuffle(batch)
            body = json.dumps({"api_key": self._key, "batch": batch})
            while not self._taken(body):
                self.again += 1
                time.sleep(_AGAIN_SECONDS)
            self.acknowledged += names
            self.bad += bad
            self.refused += refused
            self.duplicates += len(twice)
        self._close()

    def _some(self, share: float) -> list[str]:
        """The uuid of one event more, in so many of the requests."""
        return [str(uuid.uuid4())] if self._draw.random() < share else []

    def _event(self, name: str, **more: str) -> dict[str, Any]:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        common = {"event": "soaked", "distinct_id": f"client-{self._number}", "timestamp": now}
        return {**common, "uuid": name, "properties": {"filler": "x" * 300}, **more}

    def _taken(self, body: str) -> bool:
        """Whether the server acknowledged it."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            self._connection.request("POST", "/batch/", body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            self._close()
            return False

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Soak:
    """A server, a stream of its own process, and what is done to them."""

    def __init__(self, server: CaptureServer, installation: Installation, log: Path) -> None:
        self._server, self._installation, self._log = server, installation, log
        self._draw = random.Random(time.time_ns())
        self._began = time.monotonic()
        self._stream: subprocess.Popen[bytes] | None = None
        self.done: collections.Counter[str] = collections.Counter()
        self.memory: dict[str, list[tuple[float, int]]] = {"http": [], "writer": [], "stream": []}

    def part(self) -> float:
        """How much of the time is over."""
        return (time.monotonic() - self._began) / SECONDS

    def start_stream(self) -> None:
        """Begin it, or begin it again."""
        with self._log.open("ab") as log:
            words = self._installation.command("export", "stream", NAME)
            self._stream = subprocess.Popen(words, env=self._installation.environment, stdout=log, stderr=log)

    def end_stream(self, how: signal.Signals) -> None:
        """By that signal."""
        assert self._stream is not None
        self._stream.send_signal(how)
        code = self._stream.wait(LIMIT_SECONDS)  # 7: nothing answers; and who has just begun does not wait
        assert code in ({0, 7, -how} if how is signal.SIGTERM else {-how}), self._log.read_text()[-3000:]

    def run(self) -> None:
        """Until the time is over."""
        while (part := self.part()) < 1:
            if part < CALM or part > WILD:
                self._turn(self._draw.choice([*["stream"] * 3, "server", "server ends", "stream ends", "postgres"]))
            self._turn("faults")
            until_next = time.monotonic() + self._draw.uniform(1, 5)
            while time.monotonic() < until_next:
                self._sample()
                time.sleep(0.5)  # samples are taken so often
            self._goes()

    def _turn(self, what: str) -> None:
        self.done[what] += 1
        match what:
            case "stream":
                self.end_stream(signal.SIGKILL)
                self.start_stream()
            case "stream ends":
                self.end_stream(signal.SIGTERM)
                self.start_stream()
            case "server":
                self._server.kill()
                self._server.start()
            case "server ends":
                assert self._server.stop() == 0, self._server.log.read_text()[-3000:]
                self._server.start()
            case "postgres":
                kill_postgres(self._installation.home)
            case _:
                plan = faults.seeded_stream(self._draw.randrange(2**32), self._draw.randint(0, 5))
                self._installation.local.set_faults(plan)

    def _goes(self) -> None:
        """The stream never ends by itself, but when it begins: if the one before still has its session, or there is no
        database just then."""
        assert self._stream is not None
        if self._stream.poll() is None:
            return
        said = self._log.read_text()[-3000:]
        assert any(f"[{code}]" in said for code in ("stream_running", "database_unavailable")), said
        assert self._stream.returncode in {5, 7}, said
        self.done["stream did not begin"] += 1
        self.start_stream()

    def _sample(self) -> None:
        assert self._stream is not None
        assert self._server.process is not None
        stream, server = self._stream.pid, self._server.process.pid
        sampled: dict[str, Callable[[], psutil.Process]] = {
            "http": lambda: psutil.Process(server),  # of one process, the first is the one that answers requests
            "writer": self._server.writer,
            "stream": lambda: psutil.Process(stream),
        }
        for who, process in sampled.items():
            with contextlib.suppress(psutil.Error):
                self.memory[who].append((self.part(), process().memory_info().rss))

    def most(self, who: str, span: tuple[float, float]) -> int:
        """Memory of a process in a part of the time, at most."""
        return max(size for part, size in self.memory[who] if span[0] <= part <= span[1])


@pytest.fixture
def soak(fresh_installation: Installation, made_home: Path, tmp_path: Path) -> Iterator[tuple[Soak, CaptureServer]]:
    """A server that runs, and a stream that does."""
    installation = fresh_installation
    copy_home(made_home, installation.home)
    make(installation)
    with installation.app() as app:
        server = CaptureServer(app, tmp_path / "serve.log", words=("--role", "capture"))
        server.start()
        made = Soak(server, installation, tmp_path / "stream.log")
        made.start_stream()
        try:
            yield made, server
        finally:
            server.kill()
            if made._stream is not None and made._stream.poll() is None:
                made._stream.kill()
                made._stream.wait()


def test_an_hour_of_events_and_kills(soak: tuple[Soak, CaptureServer], fresh_installation: Installation) -> None:
    made, server = soak
    key, stop = server.key(1), threading.Event()
    senders = [Sender(server.port, key, number, stop) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    made.run()
    fresh_installation.local.set_faults([])
    stop.set()
    until(lambda: not any(sender.is_alive() for sender in senders), "all is acknowledged")
    assert server.stop() == 0, server.log.read_text()[-3000:]
    made.end_stream(signal.SIGTERM)
    send_all(fresh_installation)
    acknowledged = sorted(name for sender in senders for name in sender.acknowledged)
    refused = sorted(name for sender in senders for name in sender.refused)
    _tell(made, senders)
    client = fresh_installation.client()
    with contextlib.closing(client):
        found = client.google().query_and_wait(f"SELECT uuid FROM `{fresh_installation.dataset}.events`")
        assert sorted(str(row[0]) for row in found) == acknowledged
    with fresh_installation.app() as app:
        assert app.exports.tables.verify(NAME, by="tester").different == ()
        runs = app.exports.runs.find(NAME, limit=1_000_000)
        assert sum(run.rows_done for run in runs) == len(acknowledged)
        assert sum(run.rows_rejected for run in runs) == len(refused)
        assert sorted(one.uuid for one in app.exports.set_aside.find(NAME, limit=1_000_000)) == refused
        bad = sorted(json.loads(one.raw)["uuid"] for one in app.events.rejects(limit=1_000_000))
        assert bad == sorted(name for sender in senders for name in sender.bad)
        assert dict(app.events.count(by="team")) == {1: len(acknowledged) + len(refused)}
    for who in made.memory:
        early, late = made.most(who, EARLY), made.most(who, LATE)
        assert late <= early * (1 + MORE_SHARE) + MORE_BYTES, f"{who}: {early:,} bytes, and {late:,} later"


def _tell(made: Soak, senders: list[Sender]) -> None:
    """What happened, for who reads along (pytest -s, or the report of a failure)."""
    spans = [(n / 8, (n + 1) / 8) for n in range(8)]
    events, bad = sum(len(one.acknowledged) for one in senders), sum(len(one.bad) for one in senders)
    refused, twice = sum(len(one.refused) for one in senders), sum(one.duplicates for one in senders)
    sent = f"{events:,} events, {twice:,} sent twice, {bad:,} set aside by the server, {refused:,} by the stream"
    told = [f"{sent}; {sum(one.again for one in senders):,} requests sent again; {dict(made.done)}"]
    for who in made.memory:
        most = [f"{made.most(who, span) / 1e6:.0f}" for span in spans]
        told.append(f"{who}: at most, in each eighth of the time, {', '.join(most)} MB")
    print("\n".join(told))  # noqa: T201
