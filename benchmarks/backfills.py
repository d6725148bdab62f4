"""How a backfill gets faster with more workers: `python benchmarks/backfills.py [--days 60] [--latency 0.3]`.

The embedded BigQuery answers each request so much later: what takes time then is waiting, as in life. One, two and four
workers, each a process that moves so many intervals at once, bring back the same rows; what is in the table in the end is
counted. The workers have moved some intervals before: a process that is new loads its libraries with its first one, which
takes the two cores that all share here. Writes docs/benchmarks-backfills.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import DOCS, processor

TIDEMILL = Path(sys.executable).parent / "tidemill"
EACH, RUNS = 200, 2
#: Days that are moved before, so that each worker has had some.
WARM_DAYS = 16
NAME, DATASET = "daily", "d"


def prepare(home: Path, days: int) -> Any:
    """An installation whose export is complete. Gives the embedded BigQuery."""
    from tidemill.app import App
    from tidemill.bigquery.local.service import LocalBigQuery
    from tidemill.settings import Settings

    local = LocalBigQuery(home / "bigquery")
    local.start()
    local.create_dataset(DATASET, "EU")
    start = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    with App(Settings(home=home)) as app:
        key = json.dumps(local.key("tidemill"))
        app.connections.add(app.connections.draft(name="local", dataset=DATASET, key=key), by="benchmark")
        app.exports.create("local", {"name": NAME, "table": "events", "interval": None}, by="benchmark")
        with (home / "events.jsonl").open("w") as file:
            for number in range(days * EACH):
                when = start + dt.timedelta(days=number % days)
                event = {"uuid": str(uuid.uuid4()), "event": "e", "distinct_id": "d", "timestamp": when.isoformat()}
                file.write(json.dumps({**event, "properties": {"n": number}}) + "\n")
        app.events.load(str(home / "events.jsonl"))
        app.exports.run(NAME, by="benchmark")
    return local


def client(local: Any) -> Any:
    """BigQuery, with all permissions."""
    from tidemill.bigquery.client import Client
    from tidemill.bigquery.credentials import Auth
    from tidemill.bigquery.local.service import DEFAULT_PROJECT

    made = Client(Auth(key=json.dumps(local.key("tidemill-admin"))), DEFAULT_PROJECT)
    made.location = "EU"
    return made


def asked(local: Any, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    with contextlib.closing(client(local)) as found:
        rows: list[tuple[Any, ...]] = found.query(statement, job_id=f"bench_{uuid.uuid4().hex}").rows
        return rows


@contextlib.contextmanager
def workers(home: Path, number: int) -> Iterator[None]:
    """So many processes, for the time of the block."""
    more = {"TIDEMILL_HOME": str(home), "TIDEMILL_WORKER_RUNS": str(RUNS + 1), "TIDEMILL_CONNECTION_RUNS": "100"}
    more |= {"TIDEMILL_CONNECTION_JOBS": "100"}
    words = [str(TIDEMILL), "serve", "--role", "worker"]
    with (home / "workers.log").open("ab") as log:
        started = [subprocess.Popen(words, env=os.environ | more, stdout=log, stderr=log) for _ in range(number)]
        try:
            yield
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)


def moved(app: Any, found: Any) -> None:
    """Have workers move a backfill."""
    app.exports.backfills.begin(NAME, found, by="benchmark", parallel=64, background=True)
    while (view := app.exports.backfills.find(NAME, limit=1)[0]).status == "running":
        time.sleep(0.1)
    assert view.status == "completed", view


def backfilled(home: Path, local: Any, number: int, latency: float, days: int) -> float:
    """How long so many workers take, in seconds."""
    from tidemill.app import App
    from tidemill.settings import Settings

    with App(Settings(home=home)) as app, workers(home, number):
        warm = app.exports.backfills.estimate(NAME, "earliest", f"2026-01-{WARM_DAYS + 1}", "day")
        moved(app, warm)
        asked(local, f"DELETE FROM `{DATASET}.events` WHERE TRUE")
        local.set_faults([{"path": ".*", "fault": "delay_response", "seconds": latency, "times": 10**9}])
        found = app.exports.backfills.estimate(NAME, "earliest", None, "day")
        assert len(found.intervals) == days
        began = time.perf_counter()
        moved(app, found)
        seconds = time.perf_counter() - began
        local.set_faults([])
    ((rows, different),) = asked(local, f"SELECT COUNT(*), COUNT(DISTINCT uuid) FROM `{DATASET}.events`")
    assert rows == different == days * EACH, (rows, different)
    return seconds


def page(found: dict[int, list[float]], days: int, latency: float) -> str:
    """The text."""
    medians = {number: statistics.median(times) for number, times in found.items()}
    lines = [
        f"| {number} | {medians[number]:.1f} | {medians[1] / medians[number]:.2f} | "
        f"{'' if number < 4 else '3.4 met' if medians[1] / medians[number] >= 3.4 else '3.4 **missed**'} |"
        for number in medians
    ]
    table = "\n".join(["| workers | seconds | times as fast as one | goal |", "|---|---|---|---|", *lines])
    return f"""# Benchmarks of backfills

Measured by `make bench`, or `python benchmarks/backfills.py`: {processor()}, {os.cpu_count()} cores, on which workers, PostgreSQL and the embedded
BigQuery run. A backfill of {days} days with {EACH} events each, by workers that move {RUNS} intervals at once; each request to BigQuery is answered
{latency:g} s later. The workers have moved {WARM_DAYS} days before that, without the delay. Each row is there once in the end. Medians of {len(next(iter(found.values())))}.

{table}
"""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    found: dict[int, list[float]] = {1: [], 2: [], 4: []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        local = prepare(home, options.days)
        try:
            for _ in range(options.repeat):
                for number, times in found.items():
                    times.append(backfilled(home, local, number, options.latency, options.days))
                    print(f"{number} workers: {times[-1]:.1f} s", flush=True)
        finally:
            local.stop()
    if options.days >= 60:
        (DOCS / "benchmarks-backfills.md").write_text(page(found, options.days, options.latency))


if __name__ == "__main__":
    main()
