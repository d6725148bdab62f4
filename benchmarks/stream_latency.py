"""How long it takes from the answer of the capture server to the row in BigQuery, while events come at a steady pace.

Processes as an installation has them: the capture server, the stream with its defaults, the embedded BigQuery. Requests
come from a few clients in turn; the table is read all the time, from the last row that was seen.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from capture import free_port, running, said
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT

CLIENTS, LEAST, MOST = 8, 10, 20
TABLE, DATASET = "live", "benchmark"
#: Seconds: before what is measured, between two looks at the table, and for the last rows to come.
WARM_UP, BETWEEN, PATIENCE = 5.0, 0.02, 60.0


class Load:
    """Clients that send events at a pace. What was acknowledged has the time at which it was."""

    def __init__(self, port: int, key: str, rate: int, seconds: float) -> None:
        self.acknowledged: dict[str, float] = {}
        self.late, self.rate = 0.0, rate
        self._port, self._key, self._end = port, key, time.monotonic() + seconds
        self._measured = time.monotonic() + WARM_UP
        self._every = CLIENTS * (LEAST + MOST) / 2 / rate
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until all is sent."""
        for thread in self._threads:
            thread.join()

    def _send(self, client: int) -> None:
        made = random.Random(client)  # noqa: S311
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        due = time.monotonic() + self._every * client / CLIENTS
        number = 0
        while due < self._end:
            time.sleep(max(0.0, due - time.monotonic()))
            names = [f"{client}-{number + one}" for one in range(made.randint(LEAST, MOST))]
            number += len(names)
            body = json.dumps({"api_key": self._key, "batch": [_event(made, name) for name in names]})
            if due > self._measured:
                self.late = max(self.late, time.monotonic() - due)
            connection.request("POST", "/batch/", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            self.acknowledged.update(dict.fromkeys(names, time.monotonic()))
            due += self._every


def _event(made: random.Random, name: str) -> dict[str, Any]:
    properties = {f"property_{number}": f"x{made.randrange(10**7):07d}" for number in range(38)}
    event = {"uuid": str(uuid.UUID(int=made.getrandbits(128), version=4)), "event": "hit", "distinct_id": name}
    return {**event, "timestamp": "2026-01-01T00:00:00.123Z", "properties": properties}


class Watch:
    """Reads the table. What was seen has the time at which it was."""

    def __init__(self, key: Path) -> None:
        self.seen: dict[str, float] = {}
        self.rows = 0
        self.gaps: list[float] = []
        self._google = Client(Auth(key=key.read_text()), DEFAULT_PROJECT).google()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        table = bigquery.TableReference.from_string(f"{DEFAULT_PROJECT}.{DATASET}.{TABLE}")
        field = [bigquery.SchemaField("distinct_id", "STRING")]
        before = time.monotonic()
        while not self._over.wait(BETWEEN):
            try:
                found = [row[0] for row in self._google.list_rows(table, field, start_index=self.rows)]
            except Exception:
                if self.rows:
                    raise
                before = time.monotonic()
                continue
            now = time.monotonic()
            self.gaps.append(now - before)
            before = now
            self.rows += len(found)
            self.seen.update(dict.fromkeys(found, now))


def measured(home: Path, rate: int, seconds: float) -> dict[str, Any]:
    """So many events a second, for so long."""
    words = [sys.executable, "-m", "tidemill"]
    environment = {**os.environ, "TIDEMILL_HOME": str(home)}

    def command(*more: str) -> None:
        subprocess.run([*words, *more], check=True, capture_output=True, env=environment)

    account = home.parent / "latency-key.json"
    command("local", "start")
    command("local", "dataset", DATASET)
    command("local", "key", "--name", "benchmark", "--out", str(account))
    command("connection", "add", "local", "--dataset", DATASET, "--key", str(account))
    command("export", "create", TABLE, "--connection", "local", "--table", TABLE, "--mode", "stream")
    port, key, before = free_port(), said(home, "key", "create")["key"], os.getloadavg()[0]
    serve = [*words, "serve", "--port", str(port), "--role", "capture"]
    try:
        with running(serve, port, TIDEMILL_HOME=str(home)):
            stream = subprocess.Popen([*words, "export", "stream", TABLE], env=environment, stdout=subprocess.DEVNULL)
            load, watch = Load(port, key, rate, WARM_UP + seconds), Watch(account)
            began = time.monotonic()
            try:
                load.wait()
                _await(load, watch)
            finally:
                watch.stop()
                stream.send_signal(signal.SIGTERM)
                stream.wait(60)
    finally:
        command("local", "stop")
    return {**_found(load, watch, began + WARM_UP), "load_average": before}


def _await(load: Load, watch: Watch) -> None:
    end = time.monotonic() + PATIENCE
    while len(watch.seen) < len(load.acknowledged) and time.monotonic() < end:
        time.sleep(0.05)
    assert watch.seen.keys() == load.acknowledged.keys(), "not all events came"
    assert watch.rows == len(watch.seen), "events came twice"


def _found(load: Load, watch: Watch, since: float) -> dict[str, Any]:
    times = {name: at for name, at in load.acknowledged.items() if at > since}
    waits = sorted(watch.seen[name] - at for name, at in times.items())
    span = max(times.values()) - min(times.values())
    return {
        "rows": len(waits),
        "wanted": load.rate,
        "rate": len(waits) / span,
        "late": load.late,
        "p50": statistics.median(waits),
        "p95": waits[int(0.95 * len(waits))],
        "p99": waits[int(0.99 * len(waits))],
        "most": waits[-1],
        "look": statistics.median(watch.gaps),
        "slowest_look": max(watch.gaps),
    }
