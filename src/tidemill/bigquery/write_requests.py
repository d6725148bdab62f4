"""Requests of AppendRows, as they go over the wire.

They are put together by hand around the rows, which are copied once: by way of protobuf's objects it is three times.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

_Request: Any = types.AppendRowsRequest.pb()
_ArrowData: Any = types.AppendRowsRequest.ArrowData.pb()
_ArrowBatch: Any = types.ArrowRecordBatch.pb()


def size(batch: pa.RecordBatch) -> int:
    """Bytes of a record batch, serialized."""
    return int(pa.ipc.get_record_batch_size(batch))


class Serializer:
    """Record batches of one schema, serialized into the same memory each time: fresh memory costs more than a copy."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._before = schema.serialize().size  # a stream begins with it
        self._room: pa.Buffer | None = None

    def serialized(self, batch: pa.RecordBatch) -> pa.Buffer:
        """As `batch.serialize()` gives it; good until the next is asked for."""
        wanted = self._before + size(batch)
        if self._room is None or self._room.size < wanted:
            self._room = pa.allocate_buffer(wanted + wanted // 8)
        out = pa.FixedSizeBufferWriter(self._room)
        pa.ipc.new_stream(out, self._schema).write_batch(batch)
        return self._room.slice(self._before, out.tell() - self._before)


def request(
    stream: str, rows: pa.Buffer, offset: int | None, *, schema: pa.Schema | None = None, trace: str = ""
) -> bytes:
    """An AppendRowsRequest. `rows`: a record batch, serialized; `schema`, `trace`: in the first request of a call."""
    head = _Request(write_stream=stream, trace_id=trace)
    if offset is not None:
        head.offset.value = offset
    data = _ArrowData()
    if schema is not None:
        data.writer_schema.serialized_schema = schema.serialize().to_pybytes()
    start = _start(_ArrowBatch, "serialized_record_batch", rows.size)
    start = _start(_ArrowData, "rows", len(start) + rows.size) + start
    start = data.SerializeToString() + start
    start = _start(_Request, "arrow_rows", len(start) + rows.size) + start
    return b"".join((head.SerializeToString(), start, rows))


def _start(message: Any, field: str, size: int) -> bytes:
    """What comes before that many bytes of a field ("Protocol Buffers: Encoding", length-delimited records)."""
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
