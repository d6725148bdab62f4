"""How many exports a machine moves by itself: `python benchmarks/scheduler.py [--exports 5000] [--minutes 11]`.

`tidemill serve` has exports with an interval of five minutes, into a sink that answers like BigQuery and throws the rows
away. Events come all the time, so that each run has rows. It begins with an interval of each, for which its table is made.
Of those that follow is told: whether one was missed, how long after it was due each run was completed, and what server and
PostgreSQL cost. With `--jitter 0` all are due at once.

Also: what a server costs that has nothing to do (`--idle SECONDS`). Writes docs/benchmarks-scheduler.md.
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

import processes
from cases import _key
from report import DOCS, processor
from run import sink

TIDEMILL = Path(sys.executable).parent / "tidemill"
EVERY_SECONDS, ROWS = 5.0, 10
FIRST_SECONDS = 360.0
IDLE = """
## Idle

`tidemill serve` with {idle[exports]} exports that have nothing to do: **{idle[memory]:.0f} MB** (proportional set size, {idle[database]:.0f}
of which are PostgreSQL's) and **{idle[cpu]:.1%}** of a core, over {idle[seconds]:.0f} s. Goals: 200 MB and 2 %: {idle[verdict]}.
"""


def settings(home: Path, *, busy: bool) -> dict[str, str]:
    """What the server is told beside its defaults. `busy`: it has much to do."""
    if not busy:
        return {"TIDEMILL_HOME": str(home)}
    return {
        "TIDEMILL_HOME": str(home),
        "TIDEMILL_CONNECTION_RUNS": "1000",
        "TIDEMILL_WORKER_RUNS": "6",
        "TIDEMILL_WORKER_PROCESSES": str(os.cpu_count() or 1),
    }


def make(home: Path, url: str, count: int, jitter: str) -> None:
    """The connection and the exports."""
    from tidemill.app import App
    from tidemill.settings import Settings

    with App(Settings(home=home)) as app:
        app.connections.add(app.connections.draft(name="sink", dataset="d", key=_key(url)), by="benchmark")
        began = time.perf_counter()
        for number in range(count):
            fields = {"name": f"e{number}", "table": f"e{number}", "interval": "5m", "jitter": jitter}
            app.exports.create("sink", fields, by="benchmark")
        print(f"made {count} exports in {time.perf_counter() - began:.0f} s", flush=True)


@contextlib.contextmanager
def served(home: Path, *, busy: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A server, for the time of the block."""
    words = [str(TIDEMILL), "serve", "--port", "0"]
    words += [word for role in ("capture", "api", "worker", "scheduler") for word in ("--role", role)]
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(words, env=os.environ | settings(home, busy=busy), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def postmaster(home: Path) -> int:
    """The embedded PostgreSQL."""
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def feed(home: Path, seconds: float) -> int:
    """Events, all the time. Gives how many."""
    from tidemill.app import App
    from tidemill.settings import Settings

    number, until = 0, time.time() + seconds
    with App(Settings(home=home, duckdb_threads=1)) as app:
        while not number or time.time() < until:
            began = time.time()
            now = dt.datetime.now(dt.UTC).isoformat()
            events = [
                {
                    "event": "seen",
                    "distinct_id": f"d{n}",
                    "uuid": str(uuid.uuid4()),
                    "timestamp": now,
                    "properties": {"n": n},
                }
                for n in range(number, number + ROWS)
            ]
            file = home / "events.jsonl"
            file.write_text("".join(json.dumps(event) + "\n" for event in events))
            app.events.load(str(file))
            number += ROWS
            time.sleep(max(0.0, EVERY_SECONDS - (time.time() - began)))
    return number


def statements(home: Path) -> int:
    """Transactions of the database since it was made."""
    import sqlalchemy as sa

    from tidemill.app import App
    from tidemill.settings import Settings

    with App(Settings(home=home)) as app, app.database.begin() as connection:
        connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.scalar(sa.text(query)) or 0)


def found(home: Path, first: dt.datetime, last: dt.datetime) -> dict[str, Any]:
    """Of the intervals that were due in (first, last]: how many, how many of their runs are completed, and when."""
    from tidemill.app import App
    from tidemill.exports.spec import ExportSpec
    from tidemill.settings import Settings
    from tidemill.store.exports import Exports
    from tidemill.store.runs import Runs

    lags, rows, due, states = [], 0, 0, dict[str, int]()
    with App(Settings(home=home)) as app:
        runs = Runs(app.database)
        for export in Exports(app.database).find():
            schedule = ExportSpec.model_validate(export.spec).schedule
            ends = {run.interval_end: run for run in runs.newest(export.id, limit=1000) if run.created_by == "schedule"}
            end = schedule.end_after(export.created_at)
            while end is not None and end <= last:
                begins = schedule.begins_at(str(export.id), end)
                if first < begins <= last:
                    due += 1
                    run = ends.get(end)
                    state = run.status if run else "missing"
                    states[state] = states.get(state, 0) + 1
                    if run and run.finished_at:
                        lags.append((run.finished_at - begins).total_seconds())
                        rows += run.rows_planned
                end = schedule.end_after(end)
    cuts = statistics.quantiles(lags, n=100) if len(lags) > 1 else [0.0] * 99
    return {
        "due": due,
        "states": states,
        "rows": rows,
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
        "max": max(lags),
    }


def measure(count: int, minutes: float, jitter: str) -> dict[str, Any]:
    """One row of the table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sink() as url:
        home = Path(folder)
        make(home, url, count, jitter)
        feed(home, 0)
        with served(home) as server:
            feed(home, FIRST_SECONDS)
            database = postmaster(home)
            before = (processes.cpu_seconds(server.pid), processes.cpu_seconds(database), statements(home))
            began, first = time.time(), dt.datetime.now(dt.UTC)
            fed = feed(home, minutes * 60)
            seconds, last = time.time() - began, dt.datetime.now(dt.UTC) - dt.timedelta(seconds=60)
            after = (processes.cpu_seconds(server.pid), processes.cpu_seconds(database), statements(home))
            memory = processes.memory_mb(server.pid)
        costs = [(new - old) / seconds for old, new in zip(before, after, strict=True)]
        result = found(home, first, last)
    return result | {
        "exports": count,
        "jitter": jitter,
        "minutes": minutes,
        "events": fed,
        "server": costs[0],
        "database": costs[1],
        "transactions": costs[2],
        "memory": memory,
    }


def idle(seconds: float, count: int = 3) -> dict[str, Any]:
    """What a server costs whose exports have nothing to do."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sink() as url:
        home = Path(folder)
        make(home, url, count, "0")
        with served(home, busy=False) as server:
            time.sleep(20)
            database = postmaster(home)
            before = processes.cpu_seconds(server.pid) + processes.cpu_seconds(database)
            time.sleep(seconds)
            cpu = (processes.cpu_seconds(server.pid) + processes.cpu_seconds(database) - before) / seconds
            of_database = processes.memory_mb(database)
            memory = processes.memory_mb(server.pid) + (0 if database in processes.tree(server.pid) else of_database)
    verdict = "met" if memory < 200 and cpu < 0.02 else "**missed**"
    return {
        "exports": count,
        "memory": memory,
        "database": of_database,
        "cpu": cpu,
        "seconds": seconds,
        "verdict": verdict,
    }


def page(rows: list[dict[str, Any]], resting: dict[str, Any]) -> str:
    """The text."""
    lines = []
    for row in rows:
        done = row["states"].get("completed", 0)
        goal = "met" if done == row["due"] and row["p95"] < 30 else "**missed**"
        figures = [
            f"{row['exports']:,}",
            row["jitter"],
            f"{row['due']:,}",
            f"{row['due'] - done:,}",
            f"{row['rows']:,}",
        ]
        figures += [f"{row[name]:.1f}" for name in ("p50", "p95", "p99", "max")]
        figures += [
            f"{row['server']:.2f}",
            f"{row['database']:.2f}",
            f"{row['transactions']:,.0f}",
            f"{row['memory']:,.0f}",
        ]
        lines.append(f"| {' | '.join([*figures, goal if row['jitter'] != '0' else ''])} |")
    head = (
        "| exports | jitter | intervals due | not completed | rows | lag p50, s | p95 | p99 | longest | server, cores | "
        "PostgreSQL, cores | transactions/s | server, MB | goal |\n" + "|---" * 14 + "|"
    )
    table = "\n".join([head, *lines])
    return f"""# Benchmarks of schedules

Measured by `make bench`, or `python benchmarks/scheduler.py`: {processor()}, {os.cpu_count()} cores, on which the sink and who makes the events
run, too. `tidemill serve`, with two processes that move runs (`TIDEMILL_WORKER_PROCESSES`), six at once each, has exports with an interval of five
minutes, for some ten minutes after six in which their tables are made. Each run has rows, and brings them to a server that answers like BigQuery and
throws them away. The lag is from when a run was due to its end. Goal: none missed, p95 under 30 s.

{table}

With a jitter of 0 all are due in the same moment; the longest lag is how long it takes to do all of them.
{IDLE.format(idle=resting)}"""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--exports", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument("--idle", type=float, default=60)
    parser.add_argument("--jitter", nargs="*", default=["4m", "0"])
    options = parser.parse_args()
    rows = [measure(options.exports, options.minutes, jitter) for jitter in options.jitter]
    for row in rows:
        print(json.dumps(row), flush=True)
    resting = idle(options.idle)
    print(json.dumps(resting), flush=True)
    if options.exports >= 5000 and options.jitter == ["4m", "0"]:
        (DOCS / "benchmarks-scheduler.md").write_text(page(rows, resting))


if __name__ == "__main__":
    main()
