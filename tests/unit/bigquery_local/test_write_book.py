"""The book of write streams, and Arrow rows that the emulator's tables seldom have."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tidemill.bigquery.local import arrow_rows
from tidemill.bigquery.local.arrow_rows import BadRowsError, MismatchError
from tidemill.bigquery.local.permissions import Place
from tidemill.bigquery.local.streams import KEPT_SECONDS, Streams

AT = Place("p", "d", "t", "")


def test_old_streams_are_forgotten_with_their_rows() -> None:
    with duckdb.connect() as connection:
        streams = Streams(connection)
        old, new = streams.make(AT, 1, pending=True), streams.make(AT, 1, pending=True)
        for stream in (old, new):
            streams.append(stream, "t", pa.table({"a": [1, 2]}))
        before = time.time() - KEPT_SECONDS - 1
        connection.execute("UPDATE tidemill_gate.streams SET made = ? WHERE name = ?", [before, old.name])
        streams.forget_old()
        assert streams.find(old.name) is None
        left = streams.find(new.name)
        assert left is not None
        assert left.next == 2
        assert connection.execute("SELECT DISTINCT name FROM tidemill_gate.pending_rows").fetchall() == [(new.name,)]


def test_rows_and_offset_are_both_there_or_neither_is() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a BIGINT NOT NULL)")
        streams = Streams(connection)
        stream = streams.make(AT, 1, pending=False)
        with pytest.raises(duckdb.ConstraintException):
            streams.append(stream, "t", pa.table({"a": [1, None]}))
        assert streams.find(stream.name) == stream
        assert connection.execute("SELECT * FROM t").fetchall() == []


def test_a_range_is_a_record_of_its_ends() -> None:
    field = {"name": "r", "type": "RANGE", "mode": "REQUIRED", "rangeElementType": {"type": "DATE"}}
    ends = pa.struct([("start", pa.date32()), ("end", pa.date32())])
    day = {"start": dt.date(2024, 1, 1), "end": None}
    batch = pa.RecordBatch.from_pydict({"r": pa.array([day, None], ends)})
    with pytest.raises(BadRowsError) as caught:
        arrow_rows.read(batch.schema, batch.serialize().to_pybytes(), [field])
    assert list(caught.value.rows) == [1]
    good = batch.slice(0, 1)
    read = arrow_rows.read(good.schema, good.serialize().to_pybytes(), [field])
    assert read.to_pylist() == [{"r": day}]
    with pytest.raises(MismatchError):
        plain = pa.RecordBatch.from_pydict({"r": ["[2024-01-01, UNBOUNDED)"]})
        arrow_rows.read(plain.schema, plain.serialize().to_pybytes(), [field])


def test_arrays_inside_of_records_that_are_null() -> None:
    inner = {"name": "x", "type": "JSON", "mode": "REPEATED"}
    field = {"name": "s", "type": "RECORD", "mode": "NULLABLE", "fields": [inner]}
    kind = pa.struct([("x", pa.list_(pa.string()))])
    rows: list[Any] = [{"x": ["1", "2"]}, None, {"x": []}, {"x": ["{}"]}]
    batch = pa.RecordBatch.from_pydict({"s": pa.array(rows, kind)})
    read = arrow_rows.read(batch.schema, batch.serialize().to_pybytes(), [field])
    found = [row["s"] for row in read.to_pylist()]
    assert found == rows
    bad = pa.RecordBatch.from_pydict({"s": pa.array([None, {"x": ["1", "nope"]}, {"x": None}], kind)})
    with pytest.raises(BadRowsError) as caught:
        arrow_rows.read(bad.schema, bad.serialize().to_pybytes(), [field])
    assert list(caught.value.rows) == [1, 2]
