"""The third part of `make bench`: measures capture beside the bare framework, and writes docs/benchmarks-capture.md.

    python benchmarks/capture.py [--seconds 8] [--repeat 3] [--work FOLDER]

Load comes from wrk (Debian's package of that name, or Homebrew's), on the same machine, over loopback. Ours and the
framework's in turn; the median counts.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import gzip
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import DOCS, processor
from run import HERE

BATCH, SINGLE = 0.4, 0.5
EVENTS = 100
#: So many that the rate is bounded by what the server can do, not by how long a commit takes.
CONNECTIONS = {"batch": 512, "single": 2048}


def bodies(folder: Path, key: str, requests: int) -> Path:
    """So many requests of 100 events, packed with gzip, each event with an id of its own."""
    made = random.Random(1)  # noqa: S311
    folder.mkdir(parents=True, exist_ok=True)
    templates = [_template(made, key) for _ in range(20)]
    with (folder / "bodies").open("wb") as out, (folder / "sizes").open("w") as sizes:
        for number in range(requests):
            texts = templates[number % len(templates)]
            ids = [str(uuid.UUID(int=made.getrandbits(128), version=4)) for _ in range(EVENTS)]
            text = "".join(part for pair in zip(texts, [*ids, ""], strict=True) for part in pair)
            packed = gzip.compress(text.encode(), 1)
            out.write(packed)
            sizes.write(f"{len(packed)}\n")
    return folder


def _template(made: random.Random, key: str) -> list[str]:
    batch = []
    for _ in range(EVENTS):
        properties = {f"property_{number}": f"x{made.randrange(10**7):07d}" for number in range(38)}
        event = {"uuid": "@@@@", "event": "hit", "distinct_id": f"user-{made.randrange(50_000)}"}
        batch.append({**event, "timestamp": "2026-01-01T00:00:00.123Z", "properties": properties})
    return json.dumps({"api_key": key, "batch": batch}).split("@@@@")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    """A server, until the end of the block."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            assert process.poll() is None, "the server has ended"
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready").close()
                break
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def bare(port: int, workers: int) -> contextlib.AbstractContextManager[None]:
    command = [sys.executable, "-m", "uvicorn", "bare_server:application", "--app-dir", str(HERE), "--port", str(port)]
    return running([*command, "--workers", str(workers), "--no-access-log", "--log-level", "critical"], port)


def load(kind: str, port: int, argument: str, seconds: int) -> dict[str, float]:
    """What wrk saw."""
    script = HERE / ("wrk_bodies.lua" if kind == "batch" else "wrk_single.lua")
    command = ["wrk", "-t1", f"-c{CONNECTIONS[kind]}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    printed = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", argument], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"^result (.*)$", printed, re.M)
    assert found, printed
    requests, failed, took, median, high = map(float, found[1].split())
    assert failed == 0, printed
    return {"requests": requests, "rate": requests / took, "p50": median, "p99": high}


def ours(kind: str, workers: int, seconds: int, argument: str, home: Path) -> dict[str, float]:
    """One measurement of `tidemill serve`, with a store of its own; what was acknowledged must be in it."""
    port = free_port()
    command = [sys.executable, "-m", "tidemill", "serve", "--port", str(port), "--workers", str(workers)]
    command += [word for role in ("capture", "api", "worker", "scheduler") for word in ("--role", role)]
    with running(command, port, TIDEMILL_HOME=str(home)):
        found = load(kind, port, argument, seconds)
    events = said(home, "events", "count")
    wanted = found["requests"] * (EVENTS if kind == "batch" else 1)
    assert events >= wanted, f"{events} events of {wanted} that were acknowledged"
    return found


def said(home: Path, *words: str) -> Any:
    """What a command prints, as JSON."""
    command = [sys.executable, "-m", "tidemill", *words, "--json"]
    environment = {**os.environ, "TIDEMILL_HOME": str(home)}
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


def measured(kind: str, workers: int, work: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Ours and theirs in turn."""
    mine, theirs = [], []
    for turn in range(given.repeat):
        home = work / f"home-{kind}-{workers}-{turn}"
        key = said(home, "key", "create")["key"]
        argument = key
        if kind == "batch":
            argument = str(bodies(work / "bodies", key, int(given.seconds * 1_600)))
        mine.append(ours(kind, workers, given.seconds, argument, home))
        port = free_port()
        with bare(port, workers):
            theirs.append(load(kind, port, argument, given.seconds))
        shutil.rmtree(home)
    return {
        "kind": kind,
        "workers": workers,
        **{name: statistics.median(one[name] for one in mine) for name in ("rate", "p50", "p99")},
        "bound": statistics.median(one["rate"] for one in theirs),
    }


def line(found: dict[str, Any]) -> str:
    goal = BATCH if found["kind"] == "batch" else SINGLE
    share = found["rate"] / found["bound"]
    events = EVENTS if found["kind"] == "batch" else 1
    verdict = "met" if share >= goal else "**missed**"
    return (
        f"| {events} | {found['workers']} | {found['rate'] * events:,.0f} | {found['bound'] * events:,.0f} "
        f"| {share:.2f} | {found['p50']:.0f} | {found['p99']:.0f} | {goal} {verdict} |"
    )


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", default="batch,single")
    parser.add_argument("--workers", default="1,2")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk makes the load, and is not there: apt-get install wrk, or brew install wrk")
    work = Path(tempfile.mkdtemp(prefix="tidemill-capture-"))
    before = os.getloadavg()[0]
    try:
        found = [
            measured(kind, int(workers), work, given)
            for kind in given.kinds.split(",")
            for workers in given.workers.split(",")
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = page([line(one) for one in found], before, given)
    (DOCS / "benchmarks-capture.md").write_text(text)
    sys.stdout.write(text)


def page(lines: list[str], before: float, given: argparse.Namespace) -> str:
    """docs/benchmarks-capture.md."""
    newline = "\n"
    return f"""# Benchmarks of capture

Measured by `make bench` on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores; load average
before: {before:.1f}. {given.seconds} seconds each, {given.repeat} times, medians; wrk makes the load on one of these cores, over loopback:
{CONNECTIONS["batch"]} connections with 100 events a request (gzip), {CONNECTIONS["single"]} with one (plain). An event is 1.2 KB of JSON.

*ours*: `tidemill serve`, which answers when the events are durable in the event store; all that was acknowledged was found there. *bound*:
uvicorn and Starlette, which read, unpack and parse the same requests and throw them away. p50 and p99 are ours, in milliseconds, with
all connections busy.

| events a request | processes | ours, events/s | bound, events/s | share | p50 | p99 | goal |
|---|---|---|---|---|---|---|---|
{newline.join(lines)}
"""


if __name__ == "__main__":
    main()
