"""The embedded BigQuery, killed with -9 while it works: a job and what it did are both there, or neither is."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, make, rows

from tidemill.bigquery.local.service import LocalBigQuery

ROUNDS = 4


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Warehouse]:
    """An embedded BigQuery that may be killed."""
    local = LocalBigQuery(tmp_path / "killed")
    local.start()
    local.create_dataset("d", "EU")
    yield Warehouse(local, "d")
    local.stop()


def kill(local: LocalBigQuery) -> None:
    pid = local.status().pid
    assert pid is not None
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    process.wait(30)


def start(client: bigquery.Client, sql: str, job_id: str) -> threading.Thread:
    """Start a statement whose answer may never come."""

    def run() -> None:
        with contextlib.suppress(requests.RequestException, api.GoogleAPICallError, GoogleAuthError):
            client.query(sql, job_id=job_id, retry=None, job_retry=None, timeout=60)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


STATEMENTS = {
    "insert": ("INSERT INTO d.t SELECT a + 10 FROM d.t", [1, 2, 11, 12]),
    "merge": (
        """MERGE d.t t USING (SELECT 2 AS a UNION ALL SELECT 3 AS a) s ON t.a = s.a
        WHEN MATCHED THEN UPDATE SET a = 20 WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)""",
        [1, 3, 20],
    ),
    "delete": ("DELETE FROM d.t WHERE a = 1", [2]),
    "truncate": ("TRUNCATE TABLE d.t", []),
    "script": ("BEGIN INSERT INTO d.t VALUES (3); INSERT INTO d.t VALUES (4); END", [1, 2, 3, 4]),
    "create": ("CREATE TABLE d.u AS SELECT * FROM d.t", [1, 2]),
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_job_that_was_done_is_known_after_a_kill_and_does_not_run_again(alone: Warehouse, statement: str) -> None:
    sql, expected = STATEMENTS[statement]
    client = alone.client()
    make(client, alone.name("t"), "a INT64")
    client.query_and_wait("INSERT INTO d.t VALUES (1), (2)")
    alone.local.set_faults([{"path": "/jobs$", "method": "POST", "fault": "delay_response", "seconds": 600}])
    thread = start(client, sql, "the_job")
    other = alone.client()
    while True:
        try:
            if other.get_job("the_job").state == "DONE":
                break
        except api.NotFound:
            pass
    kill(alone.local)
    thread.join()
    alone.local.start()
    again = alone.client()
    job = again.get_job("the_job")
    assert isinstance(job, bigquery.QueryJob)
    assert (job.state, job.error_result) == ("DONE", None)
    if statement != "script":
        assert list(job.result()) == []
    with pytest.raises(api.Conflict):
        again.query(sql, job_id="the_job", job_retry=None)
    table = alone.name("u" if statement == "create" else "t")
    assert [row[0] for row in rows(again, table)] == expected
    for one in (client, other, again):
        one.close()


def test_wherever_it_is_killed_a_statement_is_done_once_or_not_at_all(alone: Warehouse) -> None:
    draw = random.Random(7)
    client = alone.client()
    make(client, alone.name("t"), "a INT64", "filler STRING")
    many = "INSERT INTO d.t SELECT {a}, REPEAT('x', 50) FROM UNNEST(GENERATE_ARRAY(1, 300000))"
    for number in range(ROUNDS):
        thread = start(client, many.format(a=number), f"job_{number}")
        time.sleep(draw.random() * 0.5)  # any moment will do
        kill(alone.local)
        thread.join()
        alone.local.start()
        client.close()
        client = alone.client()
        counted = client.query_and_wait(f"SELECT COUNT(*) FROM d.t WHERE a = {number}")
        ((found,),) = [tuple(row.values()) for row in counted]
        try:
            done = client.get_job(f"job_{number}").state == "DONE"
        except api.NotFound:
            done = False
        assert found == (300_000 if done else 0)
        if not done:
            client.query(many.format(a=number), job_id=f"job_{number}", job_retry=None).result()
    answer = client.query_and_wait("SELECT a, COUNT(*) FROM d.t GROUP BY a ORDER BY a")
    assert [tuple(row.values()) for row in answer] == [(number, 300_000) for number in range(ROUNDS)]
    client.close()


def test_a_table_that_is_half_made_is_gone_after_a_kill_and_can_be_made(alone: Warehouse) -> None:
    """What is killed between DuckDB's table and the emulator's note of it, is put together here from outside."""
    import duckdb

    client = alone.client()
    make(client, alone.name("t"), "a INT64")
    client.close()
    kill(alone.local)
    with duckdb.connect(str(alone.local.directory / "data" / "bqemulator.duckdb")) as connection:
        connection.execute('CREATE TABLE "tidemill-local__d"."half" (a BIGINT)')
        connection.execute('DROP TABLE "tidemill-local__d"."t"')
    alone.local.start()
    client = alone.client()
    assert list(client.list_tables("d")) == []
    for name in ("half", "t"):
        make(client, alone.name(name), "a INT64")
        assert rows(client, alone.name(name)) == []
    client.close()


def test_a_script_that_was_running_when_it_was_killed_cannot_run_again(alone: Warehouse) -> None:
    """As it is entered before it begins."""
    import duckdb

    client = alone.client()
    make(client, alone.name("t"), "a INT64")
    client.query("BEGIN INSERT INTO d.t VALUES (1); END", job_id="script", job_retry=None).result()
    client.close()
    kill(alone.local)
    with duckdb.connect(str(alone.local.directory / "data" / "bqemulator.duckdb")) as connection:
        query = "SELECT resource FROM tidemill_gate.jobs WHERE id = 'script'"
        (text,) = connection.execute(query).fetchone() or ("{}",)
        began = json.dumps({**json.loads(text), "status": {"state": "RUNNING"}})
        connection.execute("UPDATE tidemill_gate.jobs SET resource = ? WHERE id = 'script'", [began])
    alone.local.start()
    client = alone.client()
    job = client.get_job("script")
    assert job.state == "DONE"
    assert job.error_result is not None
    assert job.error_result["reason"] == "stopped"
    with pytest.raises(api.Conflict):
        client.query("BEGIN INSERT INTO d.t VALUES (1); END", job_id="script", job_retry=None)
    assert rows(client, alone.name("t")) == [(1,)]
    client.close()


def test_a_table_whose_time_is_over_goes(alone: Warehouse) -> None:
    client = alone.client()
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    make(client, alone.name("short"), "a INT64", expires=ends)
    make(client, alone.name("long"), "a INT64", expires=ends + dt.timedelta(days=1))
    client.close()
    alone.local.stop()
    while dt.datetime.now(dt.UTC) <= ends:
        time.sleep(0.05)
    alone.local.start()
    client = alone.client()
    while len(tables := [table.table_id for table in client.list_tables("d")]) > 1:
        time.sleep(0.05)
    assert tables == ["long"]
    client.close()
