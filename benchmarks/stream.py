"""The fourth part of `make bench`: measures streaming into BigQuery, and writes docs/benchmarks-stream.md.

    python benchmarks/stream.py [--repeat 5] [--rows 1000000] [--megabytes 1 2 4 8] [--parts catch-up …]

Clients of the Storage Write API: Google's in both of its forms, and ours. A streaming export that catches up, beside
Google's faster client. And how long a row takes from the capture server's answer into the table. Each measurement is a
fresh process, theirs and ours in turn; the median counts. What is not measured is shown as it was found before.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import stream_latency
import stream_page
from report import DOCS
from run import HERE, run

CLIENTS = ("google_writer", "google_stub", "ours")
#: Of requests that an export makes, in MB.
MEGABYTES = 4
Results = list[dict[str, Any]]


def case(name: str, script: str = "bare_append", **arguments: object) -> dict[str, Any]:
    """One of bare_append.py, or of another script."""
    pairs = (f"{key}={value}" for key, value in arguments.items())
    return run([sys.executable, str(HERE / f"{script}.py"), name, *pairs])


def streamed(name: str, **arguments: object) -> dict[str, Any]:
    """One of stream_cases.py."""
    return case(name, "stream_cases", **arguments)


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """The sink, for the time of the block; gives its address."""
    process = subprocess.Popen([sys.executable, str(HERE / "write_sink.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def embedded(home: Path) -> Iterator[Path]:
    """The embedded BigQuery of a home, for the time of the block; gives the file of its key."""
    key = home.parent / f"{home.name}-key.json"

    def command(*words: str) -> None:
        environment = {**os.environ, "TIDEMILL_HOME": str(home)}
        subprocess.run([sys.executable, "-m", "tidemill", *words], check=True, capture_output=True, env=environment)

    command("local", "start")
    try:
        command("local", "dataset", stream_latency.DATASET)
        command("local", "key", "--name", "benchmark", "--out", str(key))
        yield key
    finally:
        command("local", "stop")


def clients(folder: Path, given: argparse.Namespace) -> dict[str, Results]:
    """Rows that lie ready, by each client, in requests of each size."""
    found = collections.defaultdict(list)
    with sink() as url:
        for _ in range(given.repeat):
            for size in given.megabytes:
                for name in CLIENTS:
                    one = case(name, url=url, file=folder / "rows.arrow", megabytes=size, rows=given.rows)
                    found[f"{name} {size:g}"].append(one)
    return found


def catch_up(folder: Path, given: argparse.Namespace) -> dict[str, Results]:
    """A streaming export of all that there is, into the sink, beside the bare client."""
    found = collections.defaultdict(list)
    file, home = folder / "rows.arrow", filled(folder, given.rows)
    with sink() as url:
        for turn in range(given.repeat):
            found["bare"].append(case("google_writer", url=url, file=file, megabytes=MEGABYTES, rows=given.rows))
            found["bare reader"].append(streamed("read_and_append", home=home, url=url))
            found["ours"].append(streamed("export", home=home, url=url, table=f"s{turn}"))
            found["read"].append(streamed("read", home=home))
    shutil.rmtree(home)
    return found


def catch_up_embedded(folder: Path, given: argparse.Namespace) -> dict[str, Results]:
    """The same into the embedded BigQuery."""
    found = collections.defaultdict(list)
    file, home = folder / "rows.arrow", filled(folder, given.embedded_rows)
    with embedded(home) as key:
        place = {"key": key, "dataset": stream_latency.DATASET}
        for turn in range(min(given.repeat, 3)):
            found["ours"].append(streamed("export", home=home, table=f"s{turn}", **place))
            bare = {"file": file, "like": f"s{turn}", "table": f"bare{turn}", "rows": given.embedded_rows}
            found["bare"].append(streamed("append", **bare, **place))
    shutil.rmtree(home)
    return found


def filled(folder: Path, rows: int) -> Path:
    """A home whose event store has so many events."""
    events, home = folder / "events.jsonl", folder / f"home-{rows}"
    words = [sys.executable, str(HERE / "generate.py"), "--rows", str(rows), "--out", str(events)]
    subprocess.run(words, check=True)
    streamed("fill", home=home, events=events)
    events.unlink()
    return home


def latency(folder: Path, given: argparse.Namespace) -> dict[str, Results]:
    """From the answer of the capture server to the table."""
    return {"latency": [stream_latency.measured(folder / "home-latency", given.rate, given.seconds)]}


PARTS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Results]]] = {
    "clients": clients,
    "catch-up": catch_up,
    "embedded": catch_up_embedded,
    "latency": latency,
}


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--embedded-rows", type=int, default=400_000)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rate", type=int, default=1_000, help="events a second, of the latency")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()
    file = HERE / "results" / "stream.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    known = {part: found[part] for part in PARTS if part in found}
    folder = Path(tempfile.mkdtemp(prefix="tidemill-stream-"))
    try:
        case("make", out=folder / "rows.arrow")
        for part in given.parts:
            began = time.monotonic()
            about = {"on": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", "rows": given.rows, "repeat": given.repeat}
            results = PARTS[part](folder, given)
            known[part] = {**about, "took": time.monotonic() - began, "found": results}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(known, indent=1))
    text = stream_page.page(known)
    (DOCS / "benchmarks-stream.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
