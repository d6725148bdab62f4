"""The calls of the Storage Read API: a session is a snapshot of what was asked for, in a file of the gate's."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
from google.cloud.bigquery_storage_v1 import types

from tidemill.bigquery.local import grpc_answers, read_schema
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.grpc_answers import Failure
from tidemill.bigquery.local.permissions import Place
from tidemill.bigquery.local.streams import table_name
from tidemill.bigquery.local.write_calls import place

#: Rows and bytes of an answer; and how long a session is kept: Google keeps it for 6 hours, here somebody has to hold
#: the files.
_BATCH, _BATCH_BYTES, _KEPT_SECONDS = 8_192, 4 * 1024 * 1024, 1_800
#: Google cuts what is large into as many streams as are asked for, and what is small not at all.
_ROWS_OF_STREAM = 100_000


@dataclasses.dataclass(frozen=True)
class _Session:
    """A snapshot. `bounds`: of each stream, the first batch and the one after the last."""

    path: Path
    made: float
    bounds: list[tuple[int, int]]
    compression: str | None


class ReadCalls:
    """The calls. Each raises Failure if it cannot be done. Sessions do not outlive the process."""

    def __init__(self, emulator: Emulator, directory: Path) -> None:
        self._emulator, self._directory = emulator, directory
        self._sessions: dict[str, _Session] = {}
        directory.mkdir(parents=True, exist_ok=True)
        for left in directory.glob("*.arrow"):
            left.unlink()

    async def create(self, request: Any) -> Any:
        """CreateReadSession."""
        wanted = request.read_session
        if wanted.data_format not in {types.DataFormat.ARROW.value, types.DataFormat.DATA_FORMAT_UNSPECIFIED.value}:
            raise Failure("UNIMPLEMENTED", "The embedded BigQuery sends rows as Arrow.", ends=True)
        at, options = place(wanted.table), wanted.read_options
        result = self._emulator.result(at)
        fields = result[1] if result else self._fields(at)
        chosen = read_schema.chosen(fields, list(options.selected_fields))
        table = "result" if result else self._emulator.quoted(at)
        statement = read_schema.statement(table, chosen, options.row_restriction)
        name = f"projects/{at.project}/locations/{self._location(at)}/sessions/{secrets.token_hex(16)}"
        path = self._directory / f"{name.rsplit('/', 1)[1]}.arrow"
        async with self._emulator.writing():
            schema, rows, batches = await asyncio.to_thread(self._write, statement, chosen, path, result)
        lz4 = types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME.value
        compression = "lz4" if options.arrow_serialization_options.buffer_compression == lz4 else None
        count = min(max(request.max_stream_count, 1), max(1, rows // _ROWS_OF_STREAM))
        self._sessions[name] = _Session(path, time.time(), _parts(batches, count) if rows else [], compression)
        made = types.ReadSession.pb()(
            name=name,
            table=wanted.table,
            data_format=types.DataFormat.ARROW.value,
            estimated_row_count=rows,
            estimated_total_bytes_scanned=path.stat().st_size,
        )
        made.arrow_schema.serialized_schema = schema.serialize().to_pybytes()
        made.read_options.CopyFrom(options)
        for number in range(len(self._sessions[name].bounds)):
            made.streams.add(name=f"{name}/streams/{number}")
        return made

    async def open(self, request: Any) -> Iterator[Any]:
        """ReadRows: the answers, from a row on."""
        name, _, number = request.read_stream.rpartition("/streams/")
        session = self._sessions.get(name)
        if session is None or not number.isdigit() or int(number) >= len(session.bounds):
            raise grpc_answers.missing(request.read_stream, "")
        return _answers(session, int(number), request.offset)

    def forget(self, name: str) -> None:
        """Forget a session, or the one of a stream."""
        if session := self._sessions.pop(name.partition("/streams/")[0], None):
            session.path.unlink(missing_ok=True)

    def forget_old(self) -> None:
        """Forget the sessions whose time is over."""
        for name, session in list(self._sessions.items()):
            if time.time() - session.made > _KEPT_SECONDS:
                self.forget(name)

    def _fields(self, at: Place) -> Sequence[dict[str, Any]]:
        fields = self._emulator.fields(at)
        if fields is None:
            raise grpc_answers.missing(table_name(at), "TABLE_NOT_FOUND")
        if self._emulator.is_view(at):
            raise Failure("INVALID_ARGUMENT", "Views cannot be read by this API.", entity=table_name(at), ends=True)
        return fields

    def _location(self, at: Place) -> str:
        return (self._emulator.location(at.project, str(at.dataset)) or "us").lower()

    def _write(
        self, statement: str, fields: Sequence[dict[str, Any]], path: Path, result: tuple[Any, Any] | None
    ) -> tuple[Any, int, int]:
        """The schema, and how many rows and batches there are in the file. `result`: of a query, which is read."""
        import pyarrow as pa

        schema = read_schema.arrow(fields)
        cursor = self._emulator.connection.cursor()
        rows = batches = 0
        if result is not None:
            cursor.register("result", result[0])
        try:
            reader = cursor.execute(statement).fetch_record_batch(_BATCH)
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for batch in reader:
                    step = max(1, min(_BATCH, batch.num_rows * _BATCH_BYTES // max(batch.nbytes, 1)))
                    for start in range(0, batch.num_rows, step):
                        part = read_schema.cast(batch.slice(start, step), schema)
                        writer.write_batch(part)
                        rows, batches = rows + part.num_rows, batches + 1
        except duckdb.Error as error:
            path.unlink(missing_ok=True)
            raise Failure("INVALID_ARGUMENT", f"request failed: {error}", ends=True) from None
        finally:
            cursor.close()
        return schema, rows, batches


def _parts(batches: int, count: int) -> list[tuple[int, int]]:
    ends = [batches * number // count for number in range(count + 1)]
    return [(first, end) for first, end in itertools.pairwise(ends) if first < end]


def _answers(session: _Session, number: int, offset: int) -> Iterator[Any]:
    import pyarrow as pa

    options = pa.ipc.IpcWriteOptions(compression=session.compression)
    first, end = session.bounds[number]
    with pa.memory_map(str(session.path)) as source, pa.ipc.open_file(source) as reader:
        for place_ in range(first, end):
            batch = reader.get_batch(place_)
            if offset >= batch.num_rows:
                offset -= batch.num_rows
                continue
            batch, offset = batch.slice(offset), 0
            made = types.ReadRowsResponse.pb()(row_count=batch.num_rows)
            made.arrow_record_batch.serialized_record_batch = _serialized(batch, options)
            yield made


def _serialized(batch: Any, options: Any) -> bytes:
    """The batch's message alone, without the schema's and the end of a stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    for message in reader:
        if message.type == "record batch":
            content: bytes = message.serialize().to_pybytes()
            return content
    raise AssertionError("a batch that is written is there")
