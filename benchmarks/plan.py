"""How long a plan of a sync takes: 5 million rows of 10 columns of which 1 % changed, on the embedded BigQuery.

Held against the same difference written for DuckDB by hand, on the same rows, and against the way of one SHA-1 and one
look into SQLite for each row. Writes docs/benchmarks-plan.md. `ROWS=500000 python benchmarks/plan.py` is quicker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import platform
import resource
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import psutil

from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery
from tidemill.destinations.port import Op
from tidemill.reverse_etl.plan.port import Planned, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner

ROWS = int(os.environ.get("ROWS", "5000000"))
ONE_BY_ONE = min(ROWS, 200_000)
ROUNDS = 3
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-plan.md"
COLUMNS = ("active", "age", "email", "first_name", "last_name", "revenue", "score", "seen_at", "signed_up")
USERS = """
SELECT CONCAT('user-', CAST(n AS STRING)) AS user_id, CONCAT('person', CAST(n AS STRING), '@example.com') AS email,
       CONCAT('First', CAST(MOD(n, 1000) AS STRING)) AS first_name,
       CONCAT('Last', CAST(MOD(n, 7919) AS STRING)) AS last_name, MOD(n, 80) AS age,
       CAST(MOD(n, 100000) AS FLOAT64) / 7.0 AS score, CAST(MOD(n, 5000) AS NUMERIC) AS revenue,
       MOD(n, 3) = 0 AS active, DATE_ADD(DATE '2020-01-01', INTERVAL MOD(n, 2000) DAY) AS signed_up,
       TIMESTAMP_ADD(TIMESTAMP '2024-01-01 00:00:00+00', INTERVAL n SECOND) AS seen_at
FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n"""
DUCK_USERS = """
SELECT 'user-' || n AS user_id, 'person' || n || '@example.com' AS email, 'First' || n % 1000 AS first_name,
       'Last' || n % 7919 AS last_name, n % 80 AS age, (n % 100000)::DOUBLE / 7.0 AS score,
       (n % 5000)::DECIMAL(38, 9) AS revenue, n % 3 = 0 AS active, DATE '2020-01-01' + (n % 2000)::INTEGER AS signed_up,
       TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_seconds(n) AS seen_at
FROM range(1, {rows} + 1) AS numbers(n)"""
CHANGE = "UPDATE {table} SET revenue = revenue + 1 WHERE {which}"
#: A time as a number: its text takes six times as long.
_READ = {"seen_at": "epoch_us(seen_at)"}
_TEXTS = ", ".join(f"coalesce({_READ.get(name, name)}::VARCHAR, '-')" for name in COLUMNS)
DUCK_HASH = f"md5(concat_ws(chr(10), {_TEXTS}))"
DUCK_PLAN = f"""
CREATE OR REPLACE TABLE plan AS
SELECT coalesce(model.key, state.key) AS key, model.hash, {", ".join(f"model.{name}" for name in COLUMNS)},
       CASE WHEN model.hash IS NULL THEN 'deleted' WHEN state.key IS NULL THEN 'added' ELSE 'updated' END AS op
FROM (SELECT user_id AS key, {DUCK_HASH} AS hash, {", ".join(COLUMNS)} FROM users) AS model
FULL OUTER JOIN state ON model.key = state.key
WHERE model.hash IS NULL OR state.hash IS NULL OR model.hash <> state.hash"""


class Clock:
    """Seconds by the wall and of processors, the least of several rounds."""

    def __init__(self, processor: Callable[[], float]) -> None:
        self._processor = processor
        self.wall = self.cpu = float("inf")

    @contextlib.contextmanager
    def round(self) -> Iterator[None]:
        """One of them."""
        began, used = time.perf_counter(), self._processor()
        yield
        self.wall = min(self.wall, time.perf_counter() - began)
        self.cpu = min(self.cpu, self._processor() - used)


@dataclasses.dataclass
class Measured:
    """`first`: seconds of the plan in which all rows are added. `memory`: MB of the client. `read`: rows a second."""

    ours: Clock
    peer: Clock
    first: float
    planned: Planned
    memory: int
    read: float


def measured(folder: Path) -> Measured:
    """Plans, and the same by hand, by turns: what else the machine does slows both."""
    local = LocalBigQuery(folder / "bigquery")
    local.start()
    try:
        local.create_dataset("bench", "EU")
        client = Client(Auth(key=json.dumps(local.key("tidemill-admin"))), DEFAULT_PROJECT, location="EU")
        server = psutil.Process(local.status().pid)
        table, sync = f"`{DEFAULT_PROJECT}.bench.users`", uuid.uuid4()
        planner = WarehousePlanner(client, "bench", sync)
        numbers = itertools.count(1)

        def ask(sql: str) -> None:
            client.query(sql, job_id=uuid.uuid4().hex)

        def wanted() -> Wanted:
            sql = f"SELECT * FROM {table}"
            return Wanted(sync, uuid.uuid4(), next(numbers), sql, ("user_id",), COLUMNS, frozenset(Op))

        ask(f"CREATE TABLE {table} AS {USERS.format(rows=ROWS)}")
        began, run = time.perf_counter(), wanted()
        planned = planner.plan(run)
        first = time.perf_counter() - began
        planner.commit(run, [], planned.pieces)
        planner.clean(run)
        ask(CHANGE.format(table=table, which="MOD(CAST(SUBSTR(user_id, 6) AS INT64), 100) = 1"))
        run = wanted()
        planned = planner.plan(run)
        assert planned.counts.updated == ROWS // 100
        began = time.perf_counter()
        rows = sum(len(planner.rows(run, piece)) for piece in planned.pieces)
        read = rows / (time.perf_counter() - began)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        by_hand = peer(folder)
        ours, theirs = Clock(lambda: sum(server.cpu_times()[:2]) + time.process_time()), Clock(time.process_time)
        for _ in range(ROUNDS):
            with ours.round():
                planned = planner.plan(wanted())
            with theirs.round():
                by_hand.execute(DUCK_PLAN)
        assert by_hand.execute("SELECT count(*) FROM plan").fetchall() == [(ROWS // 100,)]
        by_hand.close()
        client.close()
        return Measured(ours, theirs, first, planned, memory, read)
    finally:
        local.stop()


def peer(folder: Path) -> duckdb.DuckDBPyConnection:
    """The same rows in DuckDB, with as many threads."""
    connection = duckdb.connect(str(folder / "peer.duckdb"))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE users AS {DUCK_USERS.format(rows=ROWS)}")
    connection.execute(f"CREATE TABLE state AS SELECT user_id AS key, {DUCK_HASH} AS hash FROM users")
    connection.execute(CHANGE.format(table="users", which="substr(user_id, 6)::BIGINT % 100 = 1"))
    return connection


def one_by_one(folder: Path) -> float:
    """Rows a second, of one SHA-1 and one look into SQLite for each; what is read of the model is not counted."""
    rows = duckdb.sql(DUCK_USERS.format(rows=ONE_BY_ONE)).fetchall()
    state = sqlite3.connect(folder / "state.sqlite")
    state.execute("CREATE TABLE state (key TEXT PRIMARY KEY, hash TEXT)")
    digest = [(row[0], hashlib.sha1(json.dumps(row, default=str).encode()).hexdigest()) for row in rows]  # noqa: S324
    state.executemany("INSERT INTO state VALUES (?, ?)", digest)
    state.commit()
    began, changed = time.perf_counter(), 0
    for row in rows:
        made = hashlib.sha1(json.dumps(row, default=str).encode()).hexdigest()  # noqa: S324
        known = state.execute("SELECT hash FROM state WHERE key = ?", (row[0],)).fetchone()
        changed += known is None or known[0] != made
    assert not changed
    return len(rows) / (time.perf_counter() - began)


def page(found: Measured, single: float) -> str:
    """The page."""
    clock, theirs, planned, read = found.ours, found.peer, found.planned, found.read
    rows = 100_000_000
    key, row_hash, row = (
        16 + 2,
        32 + 2,
        500,
    )  # BigQuery bills two bytes and the text of a STRING ("Pricing": data sizes)
    state = rows * (key + row_hash + 8 + 1)
    gigabytes = 1e9
    missed = ": **missed**" if ROWS / clock.wall / single < 20 else ""
    speed, alone = ROWS / clock.wall, 1 / (1 / single + 1 / read)
    return f"""# Plans of syncs, measured

`python benchmarks/plan.py`, on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()},
DuckDB {duckdb.__version__}. A model of {ROWS:,} rows and 10 columns, of which 1 % changed since the last run, on the
embedded BigQuery; the least of {ROUNDS} rounds, by turns. The time is that of `plan`: dry run, statement, counts and pieces.

| way | seconds | of processors |
|---|---|---|
| plan of a run ({planned.counts.updated:,} updated, {planned.counts.unchanged:,} unchanged) | {clock.wall:.2f} | {clock.cpu:.2f} |
| the same full outer join by hand in DuckDB, without a look for NULL and double keys | {theirs.wall:.2f} | {theirs.cpu:.2f} |
| ratio (goal: 1.5) | **{clock.wall / theirs.wall:.2f}** | **{clock.cpu / theirs.cpu:.2f}** |

- Against one SHA-1 and one look into SQLite for each row, in Python, the rows being there already:
  {single:,.0f} rows/s. The plan does {speed:,.0f} rows/s: **{speed / single:.0f} times** as many (goal: 20{missed}). Whoever goes row by row
  has to read all of them first, which takes as long as pieces do: {alone:,.0f} rows/s together, so {ROWS / alone:,.0f} s for all of
  them, and the plan is {speed / alone:.0f} times as fast.
- The first run, in which all rows are added and go into the plan: {found.first:.1f} s.
- Memory of the client, at most: **{found.memory} MB** (goal: 400). Rows of pieces are read at {read:,.0f} rows/s.

## What a run reads, by arithmetic

Of a model of 100 million rows with keys of 16 characters and rows of {row} bytes, per run:

| | state read | written |
|---|---|---|
| Tidemill: key, hash and what failed | {state / gigabytes:.1f} GB | what changed: 1 % is {rows * 0.01 * row / gigabytes:.1f} GB |
| a snapshot of full rows a run, compared column by column | {rows * row / gigabytes:.0f} GB | {rows * row / gigabytes:.0f} GB |

The model itself is read once in both; BigQuery bills what is read, and nothing for load jobs and for rows that a
statement writes. The MERGE that commits a run reads the state once more.
"""


def main() -> None:
    """Measure, and write the page."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        text = page(measured(folder), one_by_one(folder))
    print(text)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
