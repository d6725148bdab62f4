"""Requests of rows that are put together by hand are what Google's library would make."""

from __future__ import annotations

import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from tidemill.bigquery import write_requests

SCHEMA = pa.schema([("name", pa.string()), ("born", pa.timestamp("us", "UTC"))])


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 16_383, 16_384, 3_000_000])
@pytest.mark.parametrize("offset", [None, 0, 2**40])
def test_later_request(size: int, offset: int | None) -> None:
    rows = b"r" * size
    wanted = types.AppendRowsRequest(write_stream="a stream", offset=offset)
    wanted.arrow_rows.rows.serialized_record_batch = rows
    made = write_requests.request("a stream", pa.py_buffer(rows), offset)
    assert types.AppendRowsRequest.deserialize(made) == wanted


def test_first_request() -> None:
    batch = pa.RecordBatch.from_pydict({"name": ["Zoë", None], "born": [None, 0]}, schema=SCHEMA)
    made = write_requests.request("a stream", batch.serialize(), 7, schema=SCHEMA, trace="who")
    found = types.AppendRowsRequest.deserialize(made)
    assert (found.write_stream, found.offset, found.trace_id) == ("a stream", 7, "who")
    schema = pa.ipc.read_schema(pa.py_buffer(found.arrow_rows.writer_schema.serialized_schema))
    assert schema == SCHEMA
    assert pa.ipc.read_record_batch(pa.py_buffer(found.arrow_rows.rows.serialized_record_batch), schema) == batch


def test_no_rows_yet() -> None:
    """A request of no rows has them all the same: none, and not no field."""
    made = write_requests.request("a stream", pa.py_buffer(b""), None)
    found = types.AppendRowsRequest.pb(types.AppendRowsRequest.deserialize(made))
    assert found.arrow_rows.HasField("rows")
    assert not found.HasField("offset")


def test_batches_are_serialized_as_arrow_does() -> None:
    """Into the same memory: also larger ones after smaller ones, and slices."""
    whole = pa.RecordBatch.from_pydict({"name": ["Zoë", None, "x" * 9000], "born": [None, 0, 1]}, schema=SCHEMA)
    serializer = write_requests.Serializer(SCHEMA)
    for batch in (whole.slice(0, 1), whole, whole.slice(1, 1), whole.slice(2), whole.slice(0, 0)):
        made = serializer.serialized(batch)
        assert made.equals(batch.serialize())
        assert made.size == write_requests.size(batch)
