"""Arrow rows that come by the Storage Write API: what goes into which column, and how it is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, make
from tests.integration.bigquery_local.warehouse import rows as stored
from tests.integration.bigquery_local.writer import Writer, error, rows

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
