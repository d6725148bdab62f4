"""Our own client of the Storage Write API against the gate, which is also killed with -9."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, make
from tests.integration.bigquery_local.warehouse import rows as stored
from tests.integration.bigquery_local.writer import APPEND, SERVICE, numbers

from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.write_connection import IN_FLIGHT, Connection
from tidemill.bigquery.write_outcomes import Ahead, Appended, BadRows, Duplicate, Failed, Gone, Outcome
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import AccessError, Cancelled, ConfigError, ConflictError, NotFoundError, RetryableError

SCHEMA = numbers().schema
Open = Callable[..., WriteStreams]


@pytest.fixture
def opened(warehouse: Warehouse) -> Iterator[Open]:
    """Makes clients, which are closed in the end."""
    made: list[tuple[WriteStreams, Client]] = []

    def make_one(account: str = "tidemill-admin", **permissions: Any) -> WriteStreams:
        made.append(_client(warehouse.local, account, **permissions))
        return made[-1][0]

    yield make_one
    for streams, client in made:
        streams.close()
        client.close()


def _client(local: LocalBigQuery, account: str = "tidemill-admin", **permissions: Any) -> tuple[WriteStreams, Client]:
    key = json.dumps(local.key(account, **permissions))
    client = Client(Auth(key=key), DEFAULT_PROJECT, policy=Policy(jitter=lambda *_: 0.01))
    return WriteStreams(client), client


@pytest.fixture
def table(client: bigquery.Client, warehouse: Warehouse) -> str:
    make(client, warehouse.name("t"), "a INT64 REQUIRED")
    return warehouse.name("t")


def default_of(warehouse: Warehouse) -> str:
    """The stream that every table has: without offsets."""
    return f"projects/{DEFAULT_PROJECT}/datasets/{warehouse.dataset}/tables/t/streams/_default"


def ask(connection: Connection, batch: pa.RecordBatch, offset: int | None = None) -> Outcome:
    return connection.send(batch, offset).result(60)


def test_many_requests_are_on_their_way_and_answered_in_order(
    client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open
) -> None:
    streams = opened()
    connection = streams.open(streams.create(warehouse.dataset, "t"), SCHEMA)
    told: list[int] = []
    sent: list[Future[Outcome]] = []
    for number in range(IN_FLIGHT * 3):
        sent.append(connection.send(numbers(number), number))
        sent[-1].add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
    assert [future.result(60) for future in sent] == [Appended(number) for number in range(IN_FLIGHT * 3)]
    connection.close()
    assert told == list(range(IN_FLIGHT * 3))
    assert stored(client, table) == [(number,) for number in range(IN_FLIGHT * 3)]
    agents = {line["agent"] for line in warehouse.local.requests() if line["path"] == APPEND}
    assert any(agent.startswith("tidemill/") for agent in agents)


def test_what_becomes_of_a_request(client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open) -> None:
    streams = opened()
    stream = streams.create(warehouse.dataset, "t")
    connection = streams.open(stream, SCHEMA)
    assert ask(connection, numbers(1, 2), 0) == Appended(0)
    assert ask(connection, numbers(1, 2), 0) == Duplicate()
    assert isinstance(ask(connection, numbers(1), 7), Ahead)
    refused = ask(connection, numbers(3, None), 2)
    assert isinstance(refused, BadRows)
    assert [index for index, _ in refused.rows] == [1]
    assert streams.finalize(stream) == streams.finalize(stream) == 2
    gone = ask(connection, numbers(3), 2)
    assert isinstance(gone, Gone)
    assert gone.reason == "STREAM_FINALIZED"
    connection.close()
    late = ask(connection, numbers(3), 2)
    assert isinstance(late, Failed)
    assert isinstance(late.error, RetryableError)
    default = streams.open(default_of(warehouse), pa.schema([("b", pa.int64())]))
    extra = ask(default, pa.RecordBatch.from_pydict({"b": [1]}))
    assert isinstance(extra, Failed)
    assert isinstance(extra.error, ConfigError)
    assert extra.reason == "SCHEMA_MISMATCH_EXTRA_FIELDS"
    default.close()
    assert stored(client, table) == [(1,), (2,)]


def test_new_columns_are_told(client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open) -> None:
    streams = opened()
    connection = streams.open(default_of(warehouse), SCHEMA)
    assert ask(connection, numbers(1)) == Appended(None)
    more = client.get_table(table)
    more.schema = [*more.schema, bigquery.SchemaField("b", "STRING")]
    client.update_table(more, ["schema"])
    assert ask(connection, numbers(2)) == Appended(None, ("a", "b"))
    connection.close()


def test_pending_streams_are_committed_once(
    client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open
) -> None:
    streams = opened()
    names = [streams.create(warehouse.dataset, "t", pending=True) for _ in range(2)]
    for number, name in enumerate(names):
        connection = streams.open(name, SCHEMA)
        ask(connection, numbers(number), 0)
        connection.close()
    streams.finalize(names[0])
    with pytest.raises(ConflictError):
        streams.commit(warehouse.dataset, "t", names)
    streams.finalize(names[1])
    lost = {"path": "BatchCommit", "fault": "status", "after_commit": True}
    warehouse.local.set_faults([lost])
    streams.commit(warehouse.dataset, "t", names)
    assert warehouse.local.faults()[0]["fired"] == 1
    assert stored(client, table) == [(0,), (1,)]
    with pytest.raises(NotFoundError):
        streams.commit(warehouse.dataset, "t", [f"{names[0]}x"])
    with pytest.raises(NotFoundError):
        streams.finalize(f"{names[0]}x")


def test_a_call_that_fails_disturbs_none_of_another_thread(
    client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open
) -> None:
    streams = opened()
    pending, other = (streams.create(warehouse.dataset, "t", pending=True) for _ in range(2))
    connection = streams.open(pending, SCHEMA)
    ask(connection, numbers(1), 0)
    connection.close()
    streams.finalize(pending)
    before = len(warehouse.local.requests())
    slow = {"path": "BatchCommit", "fault": "delay_response", "seconds": 1}
    warehouse.local.set_faults([slow, {"path": "FinalizeWriteStream", "fault": "status", "grpc_code": "UNAVAILABLE"}])
    with ThreadPoolExecutor() as pool:
        commit = pool.submit(streams.commit, warehouse.dataset, "t", [pending])
        while not stored(client, table):
            pass
        assert streams.finalize(other) == 0
        commit.result(60)
    made = [line["path"].rpartition("/")[2] for line in warehouse.local.requests()[before:]]
    assert (made.count("FinalizeWriteStream"), made.count("BatchCommitWriteStreams")) == (2, 1)


def test_what_is_missing_is_named(warehouse: Warehouse, table: str, opened: Open) -> None:
    stream = opened().create(warehouse.dataset, "t")
    limited = opened("limited", deny=["bigquery.tables.updateData"])
    with pytest.raises(AccessError, match=r"bigquery\.tables\.updateData is missing on the table"):
        limited.create(warehouse.dataset, "t")
    connection = limited.open(stream, SCHEMA)
    failed = ask(connection, numbers(1), 0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, AccessError)
    assert "bigquery.tables.updateData" in failed.error.message
    connection.close()
    with pytest.raises(NotFoundError):
        opened().create(warehouse.dataset, "none")
    assert table


@pytest.mark.parametrize("code", ["INTERNAL", "ABORTED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"])
@pytest.mark.parametrize("in_response", [False, True])
def test_faults_that_pass(
    client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open, code: str, in_response: bool
) -> None:
    streams = opened()
    stream = streams.create(warehouse.dataset, "t")
    connection = streams.open(stream, SCHEMA)
    fault = {"path": APPEND, "nth": 2, "fault": "status", "grpc_code": code, "in_response": in_response}
    warehouse.local.set_faults([{**fault, "after_commit": True}])
    sent = [connection.send(numbers(number), number) for number in range(4)]
    outcomes = [future.result(60) for future in sent]
    assert outcomes[0] == Appended(0)
    assert isinstance(outcomes[1], Failed)
    assert isinstance(outcomes[1].error, RetryableError)
    if in_response:
        assert outcomes[2:] == [Appended(2), Appended(3)]
    else:
        assert all(isinstance(outcome, Failed) for outcome in outcomes[2:])
        connection.close()
        connection = streams.open(stream, SCHEMA)
    again = [ask(connection, numbers(number), number) for number in range(1, 4)]
    assert again == ([Duplicate()] * 3 if in_response else [Duplicate(), Appended(2), Appended(3)])
    connection.close()
    assert stored(client, table) == [(number,) for number in range(4)]


def test_tokens_are_renewed(client: bigquery.Client, warehouse: Warehouse, table: str, opened: Open) -> None:
    streams = opened()
    warehouse.local.set_faults([{"path": f"{SERVICE}/CreateWriteStream", "fault": "expire_tokens"}])
    stream = streams.create(warehouse.dataset, "t")
    connection = streams.open(stream, SCHEMA)
    warehouse.local.set_faults([{"path": APPEND, "fault": "expire_tokens"}])
    failed = ask(connection, numbers(1), 0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, RetryableError)
    connection.close()
    connection = streams.open(stream, SCHEMA)
    assert ask(connection, numbers(1), 0) == Appended(0)
    connection.close()
    warehouse.local.set_faults([{"path": "CreateWriteStream", "fault": "expire_tokens", "times": 2}])
    with pytest.raises(AccessError):
        streams.create(warehouse.dataset, "t")
    assert stored(client, table) == [(1,)]


def test_a_stream_that_expired_is_gone(warehouse: Warehouse, table: str, opened: Open) -> None:
    streams = opened()
    connection = streams.open(streams.create(warehouse.dataset, "t"), SCHEMA)
    warehouse.local.set_faults([{"path": APPEND, "fault": "expire_stream"}])
    gone = ask(connection, numbers(1), 0)
    assert isinstance(gone, Gone)
    assert gone.reason == "STREAM_NOT_FOUND"
    connection.close()
    assert table


def test_waiting_for_room_can_be_cancelled(warehouse: Warehouse, table: str) -> None:
    streams, client = _client(warehouse.local)
    connection = streams.open(streams.create(warehouse.dataset, "t"), SCHEMA)
    warehouse.local.set_faults([{"path": APPEND, "fault": "delay_response", "seconds": 600}])
    sent = [connection.send(numbers(number)) for number in range(IN_FLIGHT)]
    client.cancelled = lambda: True
    with pytest.raises(Cancelled):
        connection.send(numbers(0))
    connection.close(timeout=0)
    failed = sent[-1].result(60)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, RetryableError)
    streams.close()
    client.close()
    assert table


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


def test_killed_between_the_work_and_its_answer(alone: Warehouse) -> None:
    google = alone.client()
    make(google, alone.name("t"), "a INT64")
    streams, client = _client(alone.local)
    stream, pending = streams.create("d", "t"), streams.create("d", "t", pending=True)
    connection = streams.open(pending, SCHEMA)
    assert ask(connection, numbers(7, 8), 0) == Appended(0)
    connection.close()
    streams.finalize(pending)
    slow = {"fault": "delay_response", "seconds": 600}
    alone.local.set_faults([{"path": "BatchCommit", **slow}, {"path": APPEND, "nth": 2, **slow}])
    connection = streams.open(stream, SCHEMA)
    sent = [connection.send(numbers(number), number) for number in range(3)]
    with ThreadPoolExecutor() as pool:
        commit = pool.submit(streams.commit, "d", "t", [pending])
        while len(stored(google, alone.name("t"))) < 4:
            pass
        kill(alone.local)
        assert isinstance(sent[1].result(60), Failed)
        alone.local.start()
        commit.result(60)  # which has tried again, and found it done
    connection.close()
    connection = streams.open(stream, SCHEMA)
    outcomes = [ask(connection, numbers(number), number) for number in range(3)]
    assert outcomes == [Duplicate(), Duplicate(), Appended(2)]
    connection.close()
    assert stored(google, alone.name("t")) == [(0,), (1,), (2,), (7,), (8,)]
    for one in (google, streams, client):
        one.close()


ROUNDS, REQUESTS, SIZE = 3, 60, 50


@pytest.mark.parametrize("pending", [False, True])
def test_killed_in_the_middle_of_appends_rows_are_there_once(alone: Warehouse, pending: bool) -> None:
    draw = random.Random(5)
    google = alone.client()
    make(google, alone.name("t"), "a INT64")
    google.close()
    storage = alone.local.status().storage
    streams, client = _client(alone.local)
    stream = streams.create("d", "t", pending=pending)
    batches = [numbers(*range(number * SIZE, (number + 1) * SIZE)) for number in range(REQUESTS)]
    done = 0
    for number in range(ROUNDS):
        until = draw.randrange(done, REQUESTS) if number < ROUNDS - 1 else REQUESTS
        done = _send(alone.local, streams, stream, batches, done, until)
        if number < ROUNDS - 1:
            alone.local.start()
            streams.create("d", "t")  # signs in again, which a connection leaves to the one after it
    assert alone.local.status().storage == storage
    assert done == REQUESTS
    assert streams.finalize(stream) == REQUESTS * SIZE
    google = alone.client()
    if pending:
        assert stored(google, alone.name("t")) == []
        streams.commit("d", "t", [stream])
    assert stored(google, alone.name("t")) == [(number,) for number in range(REQUESTS * SIZE)]
    google.close()
    streams.close()
    client.close()


def _send(
    local: LocalBigQuery, streams: WriteStreams, stream: str, batches: list[pa.RecordBatch], done: int, until: int
) -> int:
    """Send all batches from `done` on, and kill the embedded BigQuery while `until` is on its way.

    Gives how many are known to be there.
    """
    connection = streams.open(stream, SCHEMA)
    sent = []
    for number in range(done, len(batches)):
        sent.append(connection.send(batches[number], number * SIZE))
        if number == until:
            kill(local)
    outcomes = [future.result(60) for future in sent]
    connection.close()
    known = [isinstance(outcome, Appended | Duplicate) for outcome in outcomes]
    count = known.index(False) if False in known else len(known)
    assert not any(known[count:])
    for outcome in outcomes[count:]:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, RetryableError)
    return done + count
