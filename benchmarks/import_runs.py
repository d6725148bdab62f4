"""How fast imports are, from a table to the event store: `python benchmarks/import_runs.py [--rows 1000000]`.

`tidemill import run`, a process of its own, takes a million events, and then as many people, out of a table of twenty
columns in the embedded BigQuery, which works on the same cores. Counted is all, from the begin of the process to its end;
of people also until they are what the rows say. Beside it: the bare reading of the same rows by the Storage Read API, as
Arrow, with nothing made of them. Writes docs/benchmarks-imports.md, with what `benchmarks/imports.py` measures.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

import imports
from report import DOCS, processor

TIDEMILL = Path(sys.executable).parent / "tidemill"
DATASET, CONNECTION = "bench", "local"
GOALS, MOST_MB = {"clicks": 30_000, "users": 10_000}, 500  # clicks are events, users are people
SAID = {"clicks": "events", "users": "people"}
TABLE = """
SELECT CONCAT('user-', CAST({user} AS STRING)) AS user_id,
       CASE MOD(n, 3) WHEN 0 THEN 'viewed' WHEN 1 THEN 'bought' ELSE 'clicked' END AS event,
       TIMESTAMP_ADD(TIMESTAMP '2026-01-01', INTERVAL MOD(n * 7919, 20000000) SECOND) AS created_at,
       CONCAT('e', CAST(n AS STRING)) AS event_id,
       TIMESTAMP_ADD(TIMESTAMP '2025-01-01', INTERVAL MOD(n * 104729, 20000000) SECOND) AS date0, '31/12/2025' AS date1,
       CONCAT('{{"a": ', CAST(n AS STRING), ', "b": ["x", null]}}') AS json0,
       CONCAT('text ', CAST(MOD(n * 31, 100000) AS STRING)) AS string0,
       CONCAT('text ', CAST(MOD(n * 37, 100000) AS STRING)) AS string1,
       CONCAT('text ', CAST(MOD(n * 41, 100000) AS STRING)) AS string2,
       CONCAT('text ', CAST(MOD(n * 43, 100000) AS STRING)) AS string3,
       MOD(n * 47, 1000000) AS integer0, MOD(n * 53, 1000000) AS integer1, MOD(n * 59, 1000000) AS integer2,
       CAST(MOD(n * 61, 100003) AS FLOAT64) / 7.0 AS float0, CAST(MOD(n * 67, 100003) AS FLOAT64) / 11.0 AS float1,
       MOD(n, 2) = 0 AS boolean0, MOD(n, 5) = 0 AS boolean1,
       IF(MOD(n, 2) = 0, NULL, 'x') AS auto0, IF(MOD(n, 3) = 0, NULL, 'x') AS auto1
FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n"""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of an import. `seconds`: of its process; `known`: until people were known after that; `processors`: seconds of
    cores that the process took; `server`: that BigQuery took; `memory`: most of the process, MB; `steps`: seconds."""

    rows: int
    seconds: float
    known: float
    processors: float
    server: float
    memory: float
    steps: dict[str, float]

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / (self.seconds + self.known)


def prepare(home: Path) -> Any:
    """The embedded BigQuery, and an installation that is connected to it."""
    from tidemill.app import App
    from tidemill.bigquery.local.service import LocalBigQuery
    from tidemill.settings import Settings

    local = LocalBigQuery(home / "bigquery")
    local.start()
    local.create_dataset(DATASET, "EU")
    with App(Settings(home=home)) as app:
        key = json.dumps(local.key("tidemill"))
        app.connections.add(app.connections.draft(name=CONNECTION, dataset=DATASET, key=key), by="benchmark")
        list(
            app.reverse_etl.sources.enable(
                CONNECTION, {"access": "full", "state_dataset": f"{DATASET}_state"}, by="benchmark"
            )
        )
    return local


@contextlib.contextmanager
def client(local: Any) -> Iterator[Any]:
    """BigQuery, with all permissions."""
    from tidemill.bigquery.client import Client
    from tidemill.bigquery.credentials import Auth
    from tidemill.bigquery.local.service import DEFAULT_PROJECT

    made = Client(Auth(key=json.dumps(local.key("tidemill-admin"))), DEFAULT_PROJECT)
    made.location = "EU"
    with contextlib.closing(made):
        yield made


def make(local: Any, app: Any, name: str, rows: int) -> None:
    """A table, and an import of it: of events, or of people, each of whom has one row."""
    from tidemill.imports.spec import Kind

    with client(local) as asking:
        user = "n" if name == "users" else "MOD(n * 7907, 100000)"
        text = f"CREATE TABLE `{DATASET}.{name}` AS {TABLE.format(user=user, rows=rows)}"
        asking.query(text, job_id=f"bench_{uuid.uuid4().hex}")
    source = {"table": f"{DATASET}.{name}", "key": ("user_id",) if name == "users" else ("event_id",)}
    app.imports.create(name, connection=CONNECTION, source=source, by="benchmark")
    columns = [one.name for one in app.imports.look(name).columns]
    assert len(columns) == 20
    properties = imports.properties([one for one in columns if one[-1].isdigit()])
    fields: dict[str, Any] = {"identity": "user_id", "properties": [one.model_dump(mode="json") for one in properties]}
    if name == "users":
        app.imports.map(name, Kind.PEOPLE, {**fields, "skipped": ["event", "created_at", "event_id"]})
    else:
        app.imports.map(name, Kind.EVENTS, {**fields, **imports.EVENT})


def read_bare(local: Any, name: str) -> float:
    """Rows a second of the bare reading."""
    from tidemill.bigquery import read_rows
    from tidemill.bigquery.local.service import DEFAULT_PROJECT

    with client(local) as asking:
        names = [field.name for field in asking.get_table(DATASET, name).fields]
        began = time.perf_counter()
        found = read_rows.batches(asking, (DEFAULT_PROJECT, DATASET, name), names)
        rows = sum(batch.num_rows for batch in found)
        return rows / (time.perf_counter() - began)


class Watching:
    """How much memory a process has at most, and at which step its run is for how long, seen some times a second."""

    def __init__(self, app: Any, name: str, process: psutil.Process) -> None:
        self._app, self._name, self._process = app, name, process
        self.memory, self.steps = 0.0, dict.fromkeys(("begin", "plan", "deliver", "commit", "write", "done"), 0.0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        from tidemill.errors import NotFoundError

        before = time.perf_counter()
        while not self._ended.wait(0.1):
            step = "begin"
            with contextlib.suppress(NotFoundError):
                step = self._app.reverse_etl.syncs.show_run(self._name).step
            with contextlib.suppress(psutil.Error):
                self.memory = max(self.memory, self._process.memory_info().rss / 1e6)
            now = time.perf_counter()
            self.steps[step] = self.steps.get(step, 0.0) + now - before
            before = now

    def end(self) -> None:
        """It is over."""
        self._ended.set()
        self._thread.join()


def measured(home: Path, local: Any, app: Any, name: str, rows: int) -> Measured:
    """Run an import."""
    words = [str(TIDEMILL), "import", "run", name, "--json"]
    server = psutil.Process(local.status().pid)
    served = sum(server.cpu_times()[:2])
    began = time.perf_counter()
    with (home / f"{name}.log").open("wb") as log:
        started = subprocess.Popen(words, env=os.environ | {"TIDEMILL_HOME": str(home)}, stdout=log, stderr=log)
        process = psutil.Process(started.pid)
        watching = Watching(app, name, process)
        _, status, used = os.wait4(started.pid, 0)
        seconds = time.perf_counter() - began
        watching.end()
    assert status == 0, (home / f"{name}.log").read_text()
    over = app.reverse_etl.syncs.show_run(name)
    assert (over.written, over.rejected) == (rows, 0), over
    took, known = used.ru_utime + used.ru_stime, 0.0
    if name == "users":
        began, cpu = time.perf_counter(), time.process_time()
        app.identity.catch_up()
        known, took = time.perf_counter() - began, took + time.process_time() - cpu
        found = json.loads(app.identity.show(1, f"user-{rows}").properties)
        assert found["string0"] == f"text {rows * 31 % 100_000}", found
    memory = max(watching.memory, used.ru_maxrss / 1000)
    return Measured(rows, seconds, known, took, sum(server.cpu_times()[:2]) - served, memory, watching.steps)


def page(found: dict[str, Measured], bare: float, rates: dict[str, float], loads: list[float]) -> str:
    """The text."""
    lines, steps = [], []
    for name, one in found.items():
        met = "met" if one.rate >= GOALS[name] else "**missed**"
        lines.append(
            f"| {SAID[name]} | {one.rows:,} | {one.seconds:.1f} | {one.known:.1f} | {one.rate:,.0f} | {GOALS[name]:,} {met} | "
            f"{one.rate / bare:.0%} | {one.processors:.1f} | {one.server:.1f} | {one.memory:,.0f} |"
        )
        steps.append(f"| {SAID[name]} | {' | '.join(f'{seconds:.1f}' for seconds in one.steps.values())} |")
    by_step = "\n".join(steps)
    most = max(one.memory for one in found.values())
    converted = "\n".join(f"| {name} | {rate:,.0f} |" for name, rate in rates.items())
    return f"""# Benchmarks of imports

Measured by `make bench`, or `python benchmarks/import_runs.py`, on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores, on which the import,
PostgreSQL and the embedded BigQuery run. The machine's load average was {min(loads):.1f} to {max(loads):.1f} before the runs: where it is above 0.5, other work ran beside them, and the seconds tell less
than those of cores.

## From a table to the event store

`tidemill import run` of a table of 20 columns, 16 of which are kept as properties, of all types: the first run, in which all rows are new. The seconds are those of the
process, from its begin to its end. Then it takes until people are what the rows say (*known*): the import does not wait for that, but it is counted here.
*share*: of the rows a second that the bare reading of the same table by the Storage Read API gives, as Arrow, with nothing made of them: {bare:,.0f}.
Seconds of cores are those of the process (of people, of knowing them, too; not PostgreSQL's), and of BigQuery, which is elsewhere in life.

| | rows | seconds | known | rows a second | goal | share | of cores | of BigQuery's | MB |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

Memory at most: {most:,.0f} MB (goal: {MOST_MB}, {"met" if most <= MOST_MB else "**missed**"}). By step, in seconds (looked at ten times a second):

| | {" | ".join(next(iter(found.values())).steps)} |
|{"---|" * (1 + len(next(iter(found.values())).steps))}
{by_step}

## What is made of rows

Of pieces of {imports.ROWS:,} rows that are read already, on one core (`python benchmarks/imports.py`); the goal for events is {imports.LEAST:,}.

| | rows a second |
|---|---|
{converted}
"""


def main() -> None:
    """See the module."""
    from tidemill.app import App
    from tidemill.settings import Settings

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    names = [name for name in GOALS if options.only in {"", name}]
    found: dict[str, Measured] = {}
    loads = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir=os.environ.get("BENCH_DIR")) as folder:
        home = Path(folder)
        home.chmod(0o755)
        local = prepare(home)
        try:
            with App(Settings(home=home)) as app:
                for name in names:
                    make(local, app, name, options.rows)
                bare = max(read_bare(local, names[0]) for _ in range(2))
                print(f"bare reading: {bare:,.0f} rows/s", flush=True)
                for name in names:
                    loads.append(os.getloadavg()[0])
                    found[name] = measured(home, local, app, name, options.rows)
                    print(f"{name}: {found[name].rate:,.0f} rows/s, {found[name]}", flush=True)
        finally:
            local.stop()
    if len(found) == 2 and options.rows >= 1_000_000:
        (DOCS / "benchmarks-imports.md").write_text(page(found, bare, imports.rates(), loads))


if __name__ == "__main__":
    main()
