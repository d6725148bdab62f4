"""The Storage Write API of the gate, asked by Google's own client."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types
from grpc_status import rpc_status
from tests.integration.bigquery_local.warehouse import Warehouse, make
from tests.integration.bigquery_local.warehouse import rows as stored
from tests.integration.bigquery_local.writer import APPEND, Writer, error, numbers, reason, rows

GONE = ("NOT_FOUND", "STREAM_NOT_FOUND")


@pytest.fixture
def writer(warehouse: Warehouse) -> Iterator[Writer]:
    made = Writer(warehouse)
    yield made
    made.close()


@pytest.fixture
def table(client: bigquery.Client, warehouse: Warehouse) -> str:
    """The name of a table ``a INT64``, as SQL has it."""
    make(client, warehouse.name("t"), "a INT64")
    return warehouse.name("t")


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
    assert stored(client, table) == [(1,), (2,), (3,)]


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


UTC = dt.UTC
COLUMNS: dict[str, tuple[pa.Array, Any]] = {
    "i INT64": (pa.array([7], pa.int8()), 7),
    "f FLOAT64": (pa.array([0.5], pa.float32()), 0.5),
    "n NUMERIC": (pa.array([Decimal("1.25")], pa.decimal128(10, 2)), Decimal("1.25")),
    "bn BIGNUMERIC": (pa.array([Decimal("1.25")], pa.decimal256(76, 38)), Decimal("1.25")),
    "b BOOL": (pa.array([True]), True),
    "s STRING": (pa.array(["ü"]), "ü"),
    "by BYTES": (pa.array([b"\0\xff"]), b"\0\xff"),
    "d DATE": (pa.array([dt.date(2024, 2, 29)]), dt.date(2024, 2, 29)),
    "d2 DATE": (pa.array(["2024-02-29"]), dt.date(2024, 2, 29)),
    "d3 DATE": (pa.array([1], pa.int32()), dt.date(1970, 1, 2)),
    "t TIME": (pa.array([dt.time(1, 2, 3, 4)], pa.time64("us")), dt.time(1, 2, 3, 4)),
    "dt DATETIME": (pa.array([dt.datetime(1, 1, 1)], pa.timestamp("us")), dt.datetime(1, 1, 1)),  # noqa: DTZ001
    "ts TIMESTAMP": (
        pa.array([dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)], pa.timestamp("us", "UTC")),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    ),
    "j JSON": (pa.array(['{"a": 1, "a": 2}']), {"a": 1}),
    "r INT64 REPEATED": (pa.array([[1, 2]]), [1, 2]),
    "e INT64 REPEATED": (pa.array([[]], pa.list_(pa.int64())), []),
}


def test_arrow_types_and_the_columns_that_they_go_into(
    client: bigquery.Client, warehouse: Warehouse, writer: Writer
) -> None:
    schema = [bigquery.SchemaField(*column.split(" ")) for column in COLUMNS]
    inner = [bigquery.SchemaField("x", "INT64"), bigquery.SchemaField("y", "STRING", "REQUIRED")]
    schema += [bigquery.SchemaField("st", "STRUCT", "REPEATED", fields=inner), bigquery.SchemaField("no", "STRING")]
    client.create_table(bigquery.Table(warehouse.name("t"), schema))
    kind = pa.list_(pa.struct([("Y", pa.string()), ("x", pa.int16())]))
    arrays = {column.split(" ")[0]: array for column, (array, _) in COLUMNS.items()}
    arrays["ST"] = pa.array([[{"Y": "a", "x": 1}, {"Y": "b", "x": None}]], kind)
    (answer,) = writer.append(rows(arrays, f"{writer.table('t')}/streams/_default"))
    assert answer.error.message == ""
    found = dict(next(iter(client.list_rows(warehouse.name("t")))))
    expected = {column.split(" ")[0]: value for column, (_, value) in COLUMNS.items()}
    assert found == {**expected, "st": [{"x": 1, "y": "a"}, {"x": None, "y": "b"}], "no": None}


OTHERS = {
    "INT64": [pa.array(["1"]), pa.array([1.0]), pa.array([1], pa.uint8()), pa.array([[1]])],
    "STRING": [pa.array([1]), pa.array(["a"], pa.large_string()), pa.array(["a"]).dictionary_encode()],
    "JSON": [pa.array([b"{}"])],
    "TIMESTAMP": [
        pa.array([1], pa.timestamp("us")),
        pa.array([1], pa.timestamp("ns", "UTC")),
        pa.array([1], pa.timestamp("us", "Europe/Berlin")),
        pa.array([1]),
    ],
    "NUMERIC": [pa.array([Decimal(1)], pa.decimal256(40, 0)), pa.array([Decimal(1)], pa.decimal128(38, 10))],
    "INT64 REPEATED": [pa.array([1]), pa.array([[1]], pa.large_list(pa.int64()))],
}


@pytest.mark.parametrize("column", OTHERS)
def test_a_type_that_does_not_fit_is_refused(
    client: bigquery.Client, warehouse: Warehouse, writer: Writer, column: str
) -> None:
    make(client, warehouse.name("t"), f"a {column}")
    default = f"{writer.table('t')}/streams/_default"
    for array in OTHERS[column]:
        (answer,) = writer.append(rows({"a": array}, default))
        assert error(answer) == ("INVALID_ARGUMENT", ""), array.type
        assert not answer.row_errors
    assert stored(client, warehouse.name("t")) == []


MICROSECONDS = pa.timestamp("us", "UTC")
BAD = {
    "s STRING REQUIRED": (pa.array(["x", None, "y", None]), [1, 3], "s cannot be empty"),
    "j JSON": (pa.array(["{", "1", None, '{"a":NaN}']), [0, 3], "j: Invalid JSON"),
    "t TIMESTAMP": (pa.array([0, 253402300800000000, -62135596800000001, None], MICROSECONDS), [1, 2], "range"),
    "d DATE": (pa.array(["2023-02-29", "2024-02-29"]), [0], "d: Invalid date"),
    "r INT64 REPEATED": (pa.array([[1], None, [None], []], pa.list_(pa.int64())), [1, 2], "r"),
    "b BIGNUMERIC": (pa.array([Decimal(10) ** 30, Decimal(1)], pa.decimal256(76, 38)), [0], "29 digits"),
}


@pytest.mark.parametrize("column", BAD)
def test_one_bad_row_and_the_whole_request_is_refused(
    client: bigquery.Client, warehouse: Warehouse, writer: Writer, column: str
) -> None:
    array, wrong, message = BAD[column]
    make(client, warehouse.name("t"), column)
    stream, name = writer.create("t"), column.split(" ", maxsplit=1)[0]
    good = [index for index in range(len(array)) if index not in wrong]
    refused, taken = writer.append(rows({name: array}, stream, 0), rows({name: array.take(good)}, stream, 0))
    assert error(refused) == ("INVALID_ARGUMENT", "")
    assert [(e.index, e.code.name) for e in refused.row_errors] == [(index, "FIELDS_ERROR") for index in wrong]
    assert all(message in e.message for e in refused.row_errors)
    assert taken.append_result.offset == 0
    assert client.get_table(warehouse.name("t")).num_rows == len(good)


def test_bad_values_inside_of_records(client: bigquery.Client, warehouse: Warehouse, writer: Writer) -> None:
    inner = [bigquery.SchemaField("x", "INT64", "REQUIRED"), bigquery.SchemaField("j", "JSON")]
    field = bigquery.SchemaField("s", "STRUCT", fields=inner)
    client.create_table(bigquery.Table(warehouse.name("t"), [field]))
    kind = pa.struct([("x", pa.int64()), ("j", pa.string())])
    values = [None, {"x": 1, "j": "{}"}, {"x": None, "j": "1"}, {"x": 2, "j": "nope"}]
    (answer,) = writer.append(rows({"s": pa.array(values, kind)}, f"{writer.table('t')}/streams/_default"))
    assert [e.index for e in answer.row_errors] == [2, 3]
    (answer,) = writer.append(rows({"s": pa.array(values[:2], kind)}, f"{writer.table('t')}/streams/_default"))
    assert not error(answer)[0]
    found = client.query_and_wait(f"SELECT s.x, s.j FROM {warehouse.dataset}.t ORDER BY s.x NULLS FIRST")
    assert [tuple(row.values()) for row in found] == [(None, None), (1, {})]


def test_columns_that_the_table_lacks_and_those_that_the_rows_lack(
    client: bigquery.Client, warehouse: Warehouse, writer: Writer
) -> None:
    make(client, warehouse.name("t"), "a INT64 REQUIRED", "b INT64")
    default = f"{writer.table('t')}/streams/_default"
    extra, lacking, good = writer.append(
        rows({"a": [1], "c": [2]}, default), rows({"b": [1]}, default), rows({"A": [1]}, default)
    )
    assert error(extra) == ("INVALID_ARGUMENT", "SCHEMA_MISMATCH_EXTRA_FIELDS")
    assert "extra fields: 'c'" in extra.error.message
    assert error(lacking) == ("INVALID_ARGUMENT", "")
    assert error(good) == ("", "")
    assert stored(client, warehouse.name("t")) == [(1, None)]


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
        with_error = _answer(writer, request)
        assert with_error == "INVALID_ARGUMENT", request
    assert stored(client, table) == []


def _answer(writer: Writer, request: Any) -> str:
    """The code of the error that is answered, or that the call ends with."""
    try:
        return error(writer.append(request)[0])[0]
    except api.GoogleAPICallError as caught:
        assert caught.grpc_status_code is not None
        return str(caught.grpc_status_code.name)


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
    assert _answer(writer, rows(numbers(3), stream, 2)) == expected
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
