"""Load jobs through the gate: what fits into a column, what does not, and what a job may change of a table."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, load_bytes, load_lines, make, rows

UTC = dt.UTC
#: A type, a value in JSON, and what is in the table then. What converts into what is tested in the unit tests.
GOOD: list[tuple[str, str, Any]] = [
    ("INT64", '"14"', 14),
    ("FLOAT64", "1.5", 1.5),
    ("NUMERIC", '"12345678901234567890.123456789"', Decimal("12345678901234567890.123456789")),
    ("BIGNUMERIC", '"12345678901234567890.5"', Decimal("12345678901234567890.5")),
    ("BOOL", '"true"', True),
    ("STRING", "14", "14"),
    ("BYTES", '"aGk="', b"hi"),
    ("TIMESTAMP", "1700000000.25", dt.datetime(2023, 11, 14, 22, 13, 20, 250000, tzinfo=UTC)),
    ("TIMESTAMP", '"2026-01-02 03:04:05.123456 UTC"', dt.datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    ("DATE", '"2026-1-2"', dt.date(2026, 1, 2)),
    ("TIME", '"03:04:05.5"', dt.time(3, 4, 5, 500000)),
    ("JSON", '"text"', "text"),
    ("JSON", '{"k": 1, "k": 2, "in": {"k": "first", "k": "last"}}', {"k": 1, "in": {"k": "first"}}),
]
BAD = [("INT64", "14.5"), ("STRING", '{"a": 1}'), ("BYTES", '"no base64!"'), ("TIMESTAMP", '"yesterday"')]


def test_every_type_of_column_is_loaded_from_json_lines(client: bigquery.Client, warehouse: Warehouse) -> None:
    make(client, warehouse.name("t"), *(f"c{number} {kind}" for number, (kind, _, _) in enumerate(GOOD)))
    line = ", ".join(f'"C{number}": {given}' for number, (_, given, _) in enumerate(GOOD))
    job = load_lines(client, warehouse.name("t"), f"{{{line}}}", "{}", "")
    assert (job.error_result, job.output_rows) == (None, 2)
    found = list(client.list_rows(warehouse.name("t")))
    assert found[0].values() == tuple(expected for _, _, expected in GOOD)
    assert found[1].values() == (None,) * len(GOOD)


def test_a_value_that_does_not_go_into_its_column_fails_the_whole_load(
    client: bigquery.Client, warehouse: Warehouse
) -> None:
    make(client, warehouse.name("t"), *(f"c{number} {kind}" for number, (kind, _) in enumerate(BAD)))
    for number, (_, given) in enumerate(BAD):
        job = load_lines(client, warehouse.name("t"), "{}", f'{{"c{number}": {given}}}')
        assert job.error_result is not None
        assert "too many errors, giving up. Rows: 2; errors: 1" in job.error_result["message"]
        assert job.errors is not None
        assert "row starting at position 3" in job.errors[1]["message"]
        assert f"c{number}" in job.errors[1]["message"] or "Could not convert" in job.errors[1]["message"]
    assert rows(client, warehouse.name("t")) == []


def test_records_and_lists(client: bigquery.Client, warehouse: Warehouse) -> None:
    fields = [
        bigquery.SchemaField("tags", "STRING", "REPEATED"),
        bigquery.SchemaField("who", "RECORD", fields=[bigquery.SchemaField("n", "INT64", "REPEATED")]),
    ]
    client.create_table(bigquery.Table(warehouse.name("t"), fields))
    assert load_lines(client, warehouse.name("t"), {"tags": ["a", "b"], "who": {"n": [1, 2]}}, {}).output_rows == 2
    assert rows_of(client, warehouse.name("t")) == [(["a", "b"], {"n": [1, 2]}), ([], None)]
    for wrong in ({"tags": [None]}, {"tags": "a"}, {"who": [1]}, {"who": {"m": 1}}, {"who": {"n": ["x"]}}):
        assert load_lines(client, warehouse.name("t"), wrong).error_result is not None


def test_unknown_values_and_bad_records_only_if_they_are_allowed(client: bigquery.Client, warehouse: Warehouse) -> None:
    name = warehouse.name("t")
    make(client, name, "a INT64")
    lines = [{"a": 1, "b": 2}, {"a": "x"}, "{broken", {"a": 2}]
    assert "no such field: b" in str(load_lines(client, name, *lines).errors)
    assert load_lines(client, name, *lines, ignore_unknown_values=True, max_bad_records=1).error_result
    assert rows(client, name) == []
    job = load_lines(client, name, *lines, ignore_unknown_values=True, max_bad_records=2)
    assert (job.error_result, job.output_rows) == (None, 2)
    assert rows(client, name) == [(1,), (2,)]


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def lines(**columns: Any) -> bytes:
    names = list(columns)
    return b"\n".join(
        json.dumps(dict(zip(names, row, strict=True))).encode() for row in zip(*columns.values(), strict=True)
    )


FORMATS: dict[str, Callable[..., bytes]] = {
    "PARQUET": parquet,
    "NEWLINE_DELIMITED_JSON": lines,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_null_in_a_required_column_fails_the_load(client: bigquery.Client, warehouse: Warehouse, kind: str) -> None:
    name = warehouse.name("t")
    make(client, name, "a INT64 REQUIRED", "b STRING")
    for content in (FORMATS[kind](a=[1, None], b=["x", "y"]), FORMATS[kind](b=["x"])):
        job = load_bytes(client, name, content, source_format=kind)
        assert job.error_result is not None
        assert "equired field" in str(job.errors)
        assert "a" in str(job.errors)
    assert load_bytes(client, name, FORMATS[kind](a=[1], b=["x"]), source_format=kind).error_result is None
    assert rows(client, name) == [(1, "x")]


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_are_added_if_the_job_says_so_and_only_if_it_succeeds(
    client: bigquery.Client, warehouse: Warehouse, kind: str
) -> None:
    name = warehouse.name("t")
    make(client, name, "a INT64 REQUIRED")
    assert load_bytes(client, name, FORMATS[kind](a=[1]), source_format=kind).error_result is None
    wider = [bigquery.SchemaField("a", "INT64"), bigquery.SchemaField("b", "STRING")]
    options: dict[str, Any] = {"source_format": kind, "schema": wider}
    job = load_bytes(client, name, FORMATS[kind](a=[2], b=["x"]), **options)
    assert job.error_result is not None
    expected = f"Provided Schema does not match Table {name.replace('.', ':', 1)}. "
    assert job.error_result["message"].startswith(expected)
    options["schema_update_options"] = ["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"]
    assert load_bytes(client, name, FORMATS[kind](a=[3], b=["x"], c=[1]), **options).error_result is not None
    assert [(field.name, field.mode) for field in client.get_table(name).schema] == [("a", "REQUIRED")]
    assert load_bytes(client, name, FORMATS[kind](a=[None, 4], b=["x", "y"]), **options).error_result is None
    assert [(field.name, field.mode) for field in client.get_table(name).schema] == [
        ("a", "NULLABLE"),
        ("b", "NULLABLE"),
    ]
    assert sorted(rows_of(client, name), key=str) == [(1, None), (4, "y"), (None, "x")]


def rows_of(client: bigquery.Client, name: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in client.list_rows(name)]


def test_a_parquet_file_brings_the_schema_of_a_table_that_is_missing(
    client: bigquery.Client, warehouse: Warehouse
) -> None:
    name = warehouse.name("made")
    content = parquet(n=pa.array([1], pa.int32()), s=["x"], t=pa.array([0], pa.timestamp("us", "UTC")), tags=[["a"]])
    job = load_bytes(client, name, content, source_format="PARQUET")
    assert job.error_result is None
    found = [(field.name, field.field_type, field.mode) for field in client.get_table(name).schema]
    assert found == [
        ("n", "INTEGER", "NULLABLE"),
        ("s", "STRING", "NULLABLE"),
        ("t", "TIMESTAMP", "NULLABLE"),
        ("tags", "STRING", "REPEATED"),
    ]
    assert rows(client, name) == [(1, "x", dt.datetime(1970, 1, 1, tzinfo=UTC), ["a"])]


def test_a_load_that_fails_leaves_no_table_behind(client: bigquery.Client, warehouse: Warehouse) -> None:
    schema = [bigquery.SchemaField("a", "INT64")]
    assert load_lines(client, warehouse.name("new"), {"a": "x"}, schema=schema).error_result is not None
    assert load_lines(client, warehouse.name("new"), {"a": 1}).error_result is not None  # no schema at all
    assert list(client.list_tables(warehouse.dataset)) == []
    never = {"schema": schema, "create_disposition": "CREATE_NEVER"}
    job = load_lines(client, warehouse.name("new"), {"a": 1}, **never)
    assert job.error_result is not None
    assert job.error_result["reason"] == "notFound"


def test_write_dispositions(client: bigquery.Client, warehouse: Warehouse) -> None:
    name = warehouse.name("t")
    make(client, name, "a INT64")
    empty = {"write_disposition": "WRITE_EMPTY"}
    assert load_lines(client, name, {"a": 1}, **empty).error_result is None
    job = load_lines(client, name, {"a": 2}, **empty)
    said = {"reason": "duplicate", "message": f"Already Exists: Table {name.replace('.', ':', 1)}"}
    assert job.error_result == said
    assert load_lines(client, name, {"a": "x"}, write_disposition="WRITE_TRUNCATE").error_result
    assert rows(client, name) == [(1,)]
    assert load_lines(client, name, {"a": 3}, write_disposition="WRITE_TRUNCATE").output_rows == 1
    assert rows(client, name) == [(3,)]


def test_gzip_and_a_file_that_needs_several_pieces(client: bigquery.Client, warehouse: Warehouse) -> None:
    name = warehouse.name("t")
    make(client, name, "a INT64", "s STRING")
    content = lines(a=list(range(30_000)), s=["x" * 200] * 30_000)
    options = {"source_format": "NEWLINE_DELIMITED_JSON"}
    assert load_bytes(client, name, gzip.compress(content, mtime=0), **options).output_rows == 30_000
    faults = [
        {"path": "/upload/", "method": "PUT", "fault": "cut", "after_bytes": 400_000},
        {"path": "/upload/", "method": "PUT", "nth": 3, "fault": "delay_response", "seconds": 0.01},
    ]
    warehouse.local.set_faults(faults)
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON")
    job = client.load_table_from_file(io.BytesIO(content), name, job_config=config, timeout=30)
    assert job.result().output_rows == 30_000
    assert warehouse.local.faults()[0]["fired"] == 1
    assert client.get_table(name).num_rows == 60_000


def test_an_upload_in_one_request(client: bigquery.Client, warehouse: Warehouse) -> None:
    name = warehouse.name("t")
    make(client, name, "a INT64")
    content = lines(a=list(range(1000)))
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON")
    job = client.load_table_from_file(io.BytesIO(content), name, size=len(content), job_config=config)
    assert job.result().output_rows == 1000
    uploads = warehouse.local.directory / "uploads"
    others = set(uploads.iterdir())
    session = warehouse.session()
    where = warehouse.address.replace("/bigquery/", "/upload/bigquery/") + "/jobs?uploadType=multipart"
    for body in (b"", b"--x\r\n\r\n{}\r\n", b"--x\r\n\r\n[]\r\n--x\r\n\r\n1\r\n--x--"):
        answer = session.post(where, data=body, headers={"Content-Type": "multipart/related; boundary=x"})
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert set(uploads.iterdir()) <= others


STREAMED: list[tuple[str, Any]] = [
    ("INT64", 1.5),
    ("BYTES", "no base64!"),
    ("JSON", "{broken"),
    ("TIMESTAMP", "yesterday"),
    ("DATE", "2026-13-01"),
    ("STRING", {"a": 1}),
]


def test_a_bad_row_that_is_streamed_has_an_error_and_stops_the_others(
    client: bigquery.Client, warehouse: Warehouse
) -> None:
    name = warehouse.name("t")
    table = make(client, name, "r INT64 REQUIRED", *(f"c{number} {kind}" for number, (kind, _) in enumerate(STREAMED)))
    bad: list[dict[str, Any]] = [{"r": 1, f"c{number}": value} for number, (_, value) in enumerate(STREAMED)]
    given = [{"r": 1}, {"r": None}, *bad]
    errors = client.insert_rows_json(table, given)
    found = [(error["index"], error["errors"][0]["reason"], error["errors"][0]["location"]) for error in errors]
    assert found[:2] == [(0, "stopped", ""), (1, "invalid", "r")]
    assert found[2:] == [(number + 2, "invalid", f"c{number}") for number in range(len(bad))]
    assert rows(client, name) == []
    errors = client.insert_rows_json(table, given, skip_invalid_rows=True)
    assert [error["index"] for error in errors] == list(range(1, len(given)))
    assert len(rows(client, name)) == 1


def test_rows_that_are_streamed_arrive_as_they_are(client: bigquery.Client, warehouse: Warehouse) -> None:
    name = warehouse.name("t")
    table = make(client, name, "i INT64", "b BYTES", "j JSON", "t TIMESTAMP", "s STRING REPEATED")
    row = {"i": "7", "b": "aGk=", "j": '{"a": 1}', "t": "2026-01-01 00:00:00 UTC", "s": ["x"], "more": 1}
    assert client.insert_rows_json(table, [row])
    assert client.insert_rows_json(table, [row], ignore_unknown_values=True) == []
    assert rows(client, name) == [(7, b"hi", {"a": 1}, dt.datetime(2026, 1, 1, tzinfo=UTC), ["x"])]
    with pytest.raises(api.BadRequest, match="No rows present"):
        client.insert_rows_json(table, [])
