"""The Storage Write API of the gate, asked by Google's own client: streams, offsets, commits."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.writer import AppendRowsStream
from grpc_status import rpc_status
from tests.integration.bigquery_local.warehouse import Warehouse, make
from tests.integration.bigquery_local.warehouse import rows as stored
from tests.integration.bigquery_local.writer import Writer, code_of, error, numbers, reason, rows

GONE = ("NOT_FOUND", "STREAM_NOT_FOUND")


def test_rows_are_there_when_the_append_is_answered(client: bigquery.Client, table: str, writer: Writer) -> None:
    stream = writer.create("t")
    connection = writer.connect()
    first = connection.ask(rows(numbers(1, 2), stream, 0))
    assert (first.append_result.offset, first.write_stream) == (0, stream)
    assert stored(client, table) == [(1,), (2,)]
    assert connection.ask(rows(numbers(3), offset=2, schema=False)).append_result.offset == 2
    assert connection.ask(rows(numbers(4), schema=False)).append_result.offset == 3
    connection.end()
    assert stored(client, table) == [(1,), (2,), (3,), (4,)]
    assert client.get_table(table).num_rows == 4


def test_offsets_make_a_second_try_harmless(client: bigquery.Client, table: str, writer: Writer) -> None:
    connection, stream = writer.connect(), writer.create("t")
    connection.ask(rows(numbers(1, 2), stream, 0))
    again = connection.ask(rows(numbers(1, 2), stream, 0))
    assert error(again) == ("ALREADY_EXISTS", "OFFSET_ALREADY_EXISTS")
    assert "expected offset 2, received 0" in again.error.message
    assert again.write_stream == stream
    ahead = connection.ask(rows(numbers(9), stream, 5))
    assert error(ahead) == ("OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE")
    assert error(connection.ask(rows(numbers(9), stream, -1)))[0] == "INVALID_ARGUMENT"
    assert connection.ask(rows(numbers(3), stream, 2)).append_result.offset == 2
    connection.end()
    late = writer.append(rows(numbers(1, 2), stream, 0), rows(numbers(4), offset=3, schema=False))
    assert [error(answer)[0] for answer in late] == ["ALREADY_EXISTS", ""]
    assert stored(client, table) == [(1,), (2,), (3,), (4,)]


def test_the_default_stream_takes_no_offset(client: bigquery.Client, table: str, writer: Writer) -> None:
    default = f"{writer.table('t')}/streams/_default"
    good, bad = writer.append(rows(numbers(1), default), rows(numbers(2), default, 1))
    assert "append_result" in good
    assert "offset" not in good.append_result
    assert error(bad)[0] == "INVALID_ARGUMENT"
    assert stored(client, table) == [(1,)]
    told = writer.client.get_write_stream(name=default, metadata=writer.metadata)
    assert told.type_ == types.WriteStream.Type.COMMITTED
    with pytest.raises(api.InvalidArgument):
        writer.finalize(default)


def test_one_connection_may_change_its_stream(client: bigquery.Client, table: str, writer: Writer) -> None:
    make(client, table.replace(".t", ".u"), "b STRING")
    default = [f"{writer.table(name)}/streams/_default" for name in "tu"]
    answers = writer.append(
        rows(numbers(1), default[0]),
        rows({"b": ["x"]}, default[1], schema=False),
        rows({"b": ["x"]}, default[1]),
        rows({"b": ["y"]}, schema=False),
    )
    assert [error(answer)[0] for answer in answers] == ["", "INVALID_ARGUMENT", "", ""]
    assert [answer.write_stream for answer in answers] == [default[0], default[1], default[1], default[1]]
    assert stored(client, table.replace(".t", ".u")) == [("x",), ("y",)]


def test_pending_rows_come_with_the_commit(client: bigquery.Client, table: str, writer: Writer) -> None:
    one, two = writer.create("t", "PENDING"), writer.create("t", "PENDING")
    writer.append(rows(numbers(1), one, 0), rows(numbers(2, 3), one, 1), rows(numbers(4), two, 0))
    assert stored(client, table) == []
    assert writer.finalize(one) == 3
    refused = writer.commit("t", one, two)
    assert [(e.code.name, e.entity) for e in refused.stream_errors] == [("INVALID_STREAM_STATE", two)]
    assert "commit_time" not in refused
    assert stored(client, table) == []
    assert writer.finalize(two) == writer.finalize(two) == 1
    done = writer.commit("t", one, two)
    assert "commit_time" in done
    assert not done.stream_errors
    assert stored(client, table) == [(1,), (2,), (3,), (4,)]
    again = writer.commit("t", one, two)
    assert [e.code.name for e in again.stream_errors] == ["STREAM_ALREADY_COMMITTED"] * 2
    told = writer.client.get_write_stream(name=one, metadata=writer.metadata)
    assert told.type_ == types.WriteStream.Type.PENDING
    assert told.commit_time == done.commit_time
    assert stored(client, table) == [(1,), (2,), (3,), (4,)]


def test_what_cannot_be_committed(client: bigquery.Client, table: str, writer: Writer) -> None:
    make(client, table.replace(".t", ".u"), "a INT64")
    committed, nowhere = writer.create("t"), f"{writer.table('t')}/streams/none"
    answer = writer.commit("t", committed, nowhere, f"{writer.table('t')}/streams/_default")
    assert [e.code.name for e in answer.stream_errors] == [
        "INVALID_STREAM_TYPE",
        "STREAM_NOT_FOUND",
        "INVALID_STREAM_TYPE",
    ]
    for names in ([], [writer.create("u", "PENDING")]):
        with pytest.raises(api.InvalidArgument):
            writer.commit("t", *names)


def test_streams_that_are_over(client: bigquery.Client, table: str, writer: Writer) -> None:
    one, two = writer.create("t"), writer.create("t", "PENDING")
    writer.append(rows(numbers(1), one, 0))
    for stream in (one, two):
        writer.finalize(stream)
    writer.commit("t", two)
    answers = writer.append(
        rows(numbers(1), one, 0), rows(numbers(1), two, 0), rows(numbers(1), f"{writer.table('t')}/streams/x", 0)
    )
    assert [error(answer) for answer in answers] == [
        ("INVALID_ARGUMENT", "STREAM_FINALIZED"),
        ("INVALID_ARGUMENT", "STREAM_ALREADY_COMMITTED"),
        GONE,
    ]
    assert stored(client, table) == [(1,)]


def test_a_stream_goes_with_its_table(client: bigquery.Client, table: str, writer: Writer) -> None:
    stream, connection = writer.create("t"), writer.connect()
    connection.ask(rows(numbers(1), stream, 0))
    client.delete_table(table)
    assert error(connection.ask(rows(numbers(2), stream, 1))) == ("NOT_FOUND", "TABLE_NOT_FOUND")
    make(client, table, "a INT64")
    assert error(connection.ask(rows(numbers(2), stream, 1))) == GONE
    connection.end()
    for call in (writer.finalize, lambda name: writer.client.get_write_stream(name=name, metadata=writer.metadata)):
        with pytest.raises(api.NotFound) as caught:
            call(stream)
        assert reason(rpc_status.from_call(caught.value.response)) == "STREAM_NOT_FOUND"
    assert stored(client, table) == []


def test_streams_are_made_as_google_makes_them(client: bigquery.Client, table: str, writer: Writer) -> None:
    request = types.CreateWriteStreamRequest(parent=writer.table("t"), write_stream={"type_": "COMMITTED"})
    made = writer.client.create_write_stream(request, metadata=writer.metadata)
    assert made.name.startswith(f"{writer.table('t')}/streams/")
    assert (made.location, made.commit_time) == ("EU", made.create_time)
    assert [(f.name, f.type_.name, f.mode.name) for f in made.table_schema.fields] == [("a", "INT64", "NULLABLE")]
    get = types.GetWriteStreamRequest(name=made.name, view="FULL")
    assert writer.client.get_write_stream(get, metadata=writer.metadata) == made
    told = writer.client.get_write_stream(name=made.name, metadata=writer.metadata)
    assert "table_schema" not in told
    with pytest.raises(api.MethodNotImplemented):
        writer.create("t", "BUFFERED")
    with pytest.raises(api.MethodNotImplemented):
        writer.client.flush_rows(write_stream=made.name, metadata=writer.metadata)
    with pytest.raises(api.InvalidArgument):
        writer.create("t", "TYPE_UNSPECIFIED")
    with pytest.raises(api.NotFound):
        writer.create("none")
    view = bigquery.Table(f"{table}_view")
    view.view_query = "SELECT 1 AS a"
    client.create_table(view)
    with pytest.raises(api.InvalidArgument):
        writer.create("t_view")


def test_a_connection_is_told_of_new_columns(client: bigquery.Client, table: str, writer: Writer) -> None:
    connection, default = writer.connect(), f"{writer.table('t')}/streams/_default"
    assert "updated_schema" not in connection.ask(rows(numbers(1), default))
    more = client.get_table(table)
    more.schema = [*more.schema, bigquery.SchemaField("b", "STRING")]
    client.update_table(more, ["schema"])
    told = connection.ask(rows(numbers(2), schema=False))
    assert [(f.name, f.type_.name) for f in told.updated_schema.fields] == [("a", "INT64"), ("b", "STRING")]
    assert "updated_schema" not in connection.ask(rows({"a": [3], "b": ["x"]}))
    connection.end()
    assert stored(client, table) == [(1, None), (2, None), (3, "x")]


def test_requests_that_are_none(client: bigquery.Client, table: str, writer: Writer) -> None:
    default = f"{writer.table('t')}/streams/_default"
    proto = types.AppendRowsRequest(write_stream=default)
    proto.proto_rows.rows.serialized_rows.append(b"")
    broken = rows(numbers(1), default)
    broken.arrow_rows.rows.serialized_record_batch = b"broken"
    nonsense = rows(numbers(1), default)
    nonsense.arrow_rows.writer_schema.serialized_schema = b"broken"
    empty = types.AppendRowsRequest(write_stream=default)
    requests = [
        rows(numbers(1)),
        rows(numbers(1), "nonsense"),
        rows(numbers(1), default, schema=False),
        proto,
        broken,
        nonsense,
        empty,
        rows(numbers(), default),
    ]
    for request in requests:
        with_error = code_of(writer, request)
        assert with_error == "INVALID_ARGUMENT", request
    assert stored(client, table) == []


def test_a_request_may_have_20_mb(client: bigquery.Client, warehouse: Warehouse, writer: Writer) -> None:
    make(client, warehouse.name("t"), "s STRING")
    default = f"{writer.table('t')}/streams/_default"
    fits = rows({"s": ["x" * (20 * 1024 * 1024 - 2000)]}, default)
    large = rows({"s": ["x" * (20 * 1024 * 1024)]}, default)
    connection = writer.connect()
    assert error(connection.ask(fits)) == ("", "")
    refused = connection.ask(large)
    assert error(refused)[0] == "INVALID_ARGUMENT"
    assert "too large" in refused.error.message
    assert error(connection.ask(rows({"s": ["small"]}, schema=False))) == ("", "")
    connection.end()
    assert client.get_table(warehouse.name("t")).num_rows == 2


def test_googles_manager_of_a_connection_works_too(client: bigquery.Client, table: str, writer: Writer) -> None:
    default = f"{writer.table('t')}/streams/_default"
    batch = numbers(1)
    template = types.AppendRowsRequest(write_stream=default)
    template.arrow_rows.writer_schema.serialized_schema = batch.schema.serialize().to_pybytes()
    manager = AppendRowsStream(writer.client, template, metadata=writer.metadata)
    sent = [manager.send(rows(numbers(number), schema=False)) for number in range(3)]
    assert all("append_result" in future.result(60) for future in sent)
    manager.close()
    assert stored(client, table) == [(0,), (1,), (2,)]
