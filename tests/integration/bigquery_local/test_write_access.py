"""The Storage Write API of the gate: who may do what, what is logged, and faults."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import grpc
import pytest
import requests
from google.api_core import exceptions as api
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types
from tests.integration.bigquery_local.warehouse import Warehouse
from tests.integration.bigquery_local.warehouse import rows as stored
from tests.integration.bigquery_local.writer import APPEND, Writer, code_of, error, numbers, rows

GONE = ("NOT_FOUND", "STREAM_NOT_FOUND")


UTC = dt.UTC


def test_its_address_is_told(warehouse: Warehouse) -> None:
    status = warehouse.local.status()
    health = requests.get(f"{status.url}/_tidemill/health", timeout=10).json()
    state = json.loads((warehouse.local.directory / "state.json").read_text())
    assert status.storage == health["storage"] == state["storage"]


def test_every_call_needs_a_token(table: str, writer: Writer) -> None:
    stream = writer.create("t", "PENDING")
    writer.metadata = []
    for call in _calls(writer, stream):
        with pytest.raises(api.Unauthenticated):
            call()
    writer.metadata = [("authorization", "Bearer nonsense")]
    with pytest.raises(api.Unauthenticated):
        writer.append(rows(numbers(1), stream))
    assert table


def test_every_call_needs_the_permission(
    client: bigquery.Client, warehouse: Warehouse, table: str, writer: Writer
) -> None:
    stream = writer.create("t", "PENDING")
    limited = Writer(warehouse, "limited", deny=["bigquery.tables.updateData"])
    for call in _calls(limited, stream):
        with pytest.raises(api.PermissionDenied, match=r"Permission bigquery\.tables\.updateData denied on table"):
            call()
    with pytest.raises(api.PermissionDenied):
        limited.create("none")
    limited.close()
    enough = Writer(warehouse, "enough", allow=["bigquery.tables.updateData"])
    for call in _calls(enough, stream):
        call()
    enough.close()
    assert stored(client, table) == []
    with pytest.raises(api.NotFound, match="Project"):
        writer.client.get_write_stream(
            name="projects/none-there/datasets/d/tables/t/streams/_default", metadata=writer.metadata
        )


def _calls(writer: Writer, stream: str) -> list[Any]:
    return [
        lambda: writer.create("t"),
        lambda: writer.client.get_write_stream(name=stream, metadata=writer.metadata),
        lambda: writer.append(rows(numbers(1), stream)),
        lambda: writer.finalize(stream),
        lambda: writer.commit("t", f"{writer.table('t')}/streams/none"),
    ]


def test_the_log_has_calls_and_appends_but_no_rows(warehouse: Warehouse, table: str, writer: Writer) -> None:
    stream = writer.create("t")
    writer.append(rows(numbers(4711), stream, 0), rows(numbers(4711), offset=0, schema=False))
    lines = [line for line in warehouse.local.requests() if line["method"] == "GRPC"][-4:]
    assert [(line["path"].rpartition("/")[2], line["status"]) for line in lines] == [
        ("CreateWriteStream", "OK"),
        ("AppendRows", "OK"),
        ("AppendRows", "ALREADY_EXISTS"),
        ("AppendRows", "OK"),
    ]
    assert lines[1]["body"] == lines[2]["body"] == {"write_stream": stream, "offset": 0}
    assert "ya29" not in str(lines)
    assert table


def _faults(warehouse: Warehouse, **fault: Any) -> None:
    warehouse.local.set_faults([{"path": APPEND, "method": "GRPC", **fault}])


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_connection_that_is_cut(
    client: bigquery.Client, warehouse: Warehouse, table: str, writer: Writer, after_commit: bool
) -> None:
    stream, connection = writer.create("t"), writer.connect()
    _faults(warehouse, fault="cut", nth=2, after_commit=after_commit)
    connection.ask(rows(numbers(1), stream, 0))
    with pytest.raises(grpc.RpcError) as caught:
        connection.ask(rows(numbers(2), offset=1, schema=False))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    connection.send(None)
    (again,) = writer.append(rows(numbers(2), stream, 1))
    assert error(again)[0] == ("ALREADY_EXISTS" if after_commit else "")
    assert stored(client, table) == [(1,), (2,)]
    assert warehouse.local.faults()[0]["fired"] == 1


@pytest.mark.parametrize("code", ["", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED"])
def test_a_status_in_the_response_or_instead_of_it(
    client: bigquery.Client, warehouse: Warehouse, table: str, writer: Writer, code: str
) -> None:
    stream, expected = writer.create("t"), code or "UNAVAILABLE"
    _faults(warehouse, fault="status", grpc_code=code, in_response=True)
    failed, good = writer.append(rows(numbers(1), stream, 0), rows(numbers(1), offset=0))
    assert (error(failed)[0], error(good)[0]) == (expected, "")
    _faults(warehouse, fault="status", grpc_code=code, in_response=True, after_commit=True)
    failed, good = writer.append(rows(numbers(2), stream, 1), rows(numbers(2), offset=1))
    assert (error(failed)[0], error(good)[0]) == (expected, "ALREADY_EXISTS")
    _faults(warehouse, fault="status", grpc_code=code)
    assert code_of(writer, rows(numbers(3), stream, 2)) == expected
    assert stored(client, table) == [(1,), (2,)]


def test_faults_of_calls_with_one_request(warehouse: Warehouse, table: str, writer: Writer) -> None:
    warehouse.local.set_faults(
        [
            {"path": "CreateWriteStream", "fault": "status", "status": 429},
            {"path": "FinalizeWriteStream", "fault": "status", "grpc_code": "INTERNAL", "after_commit": True},
        ]
    )
    asked = types.CreateWriteStreamRequest(parent=writer.table("t"), write_stream={"type_": "PENDING"})
    with pytest.raises(api.ResourceExhausted):
        writer.client.create_write_stream(asked, metadata=writer.metadata, retry=None)
    stream = writer.create("t")
    with pytest.raises(api.InternalServerError):
        writer.finalize(stream)
    (answer,) = writer.append(rows(numbers(1), stream))
    assert error(answer) == ("INVALID_ARGUMENT", "STREAM_FINALIZED")
    assert table


def test_tokens_and_streams_expire(client: bigquery.Client, warehouse: Warehouse, table: str, writer: Writer) -> None:
    stream, pending = writer.create("t"), writer.create("t", "PENDING")
    writer.append(rows(numbers(1), stream, 0), rows(numbers(5), pending, 0))
    for name in (stream, pending):
        _faults(warehouse, fault="expire_stream")
        (answer,) = writer.append(rows(numbers(2), name, 1))
        assert error(answer) == GONE
    _faults(warehouse, fault="expire_tokens")
    with pytest.raises(api.Unauthenticated):
        writer.append(rows(numbers(2), stream, 1))
    assert stored(client, table) == [(1,)]


def test_an_answer_may_be_late(warehouse: Warehouse, table: str, writer: Writer) -> None:
    _faults(warehouse, fault="delay_response", seconds=0.2)
    began = dt.datetime.now(UTC)
    writer.append(rows(numbers(1), f"{writer.table('t')}/streams/_default"))
    assert dt.datetime.now(UTC) - began >= dt.timedelta(seconds=0.2)
    assert table
