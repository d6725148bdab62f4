"""The calls of the Storage Write API on tables and streams: what each does, once who asks may do it."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import duckdb
from google.cloud.bigquery_storage_v1 import types

from tidemill.bigquery.local import arrow_rows, grpc_answers, schemas
from tidemill.bigquery.local.arrow_rows import BadRowsError, MismatchError
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.grpc_answers import Failure
from tidemill.bigquery.local.permissions import Place
from tidemill.bigquery.local.streams import DEFAULT, Stream, Streams, table_name
from tidemill.bigquery.local.values import Field

#: "The size of a single AppendRowsRequest must be less than 20 MB" (AppendRowsRequest; "Quotas and limits").
MAX_BYTES = 20 * 1024 * 1024
_NAME = re.compile(r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)(?:/(?:streams/)?([^/]+))?")
_ROWS_FAULT = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.ConstraintException)


def place(name: str) -> Place:
    """The table that is named, or whose stream is. Raises Failure."""
    found = _NAME.fullmatch(name)
    if not found:
        raise Failure("INVALID_ARGUMENT", f"Invalid resource name: {name!r}")
    return Place(found[1], found[2], found[3], "")


class Appends:
    """What a request of an AppendRows call leaves to those after it, which may omit it."""

    def __init__(self) -> None:
        self.stream = ""
        self._schema = b""
        self._fields: Sequence[Field] = ()
        self._news: Sequence[Field] = ()

    def take(self, message: bytes) -> Any:
        """The request in a message. Raises Failure if it is too large, or none."""
        if len(message) > MAX_BYTES:
            said = f"MessageSize is too large. Max allow: {MAX_BYTES} Actual: {len(message)}"
            raise Failure("INVALID_ARGUMENT", said)
        try:
            request = types.AppendRowsRequest.pb().FromString(message)
        except Exception:  # noqa: BLE001 - protobuf's own class of errors differs by how it is built
            raise Failure("INVALID_ARGUMENT", "The request cannot be parsed.") from None
        if request.write_stream and request.write_stream != self.stream:
            self.stream, self._schema, self._fields, self._news = request.write_stream, b"", (), ()
        if not self.stream:
            raise Failure("INVALID_ARGUMENT", "The first request of a connection must have a write_stream.")
        self._schema = request.arrow_rows.writer_schema.serialized_schema or self._schema
        return request

    def schema(self, request: Any) -> Any:
        """The schema of the rows in a request. Raises Failure, MismatchError."""
        if not request.HasField("arrow_rows"):
            said = "Rows must be specified."
            if request.HasField("proto_rows"):
                said = "Rows in protocol buffers are not supported by the embedded BigQuery: send Arrow."
            raise Failure("INVALID_ARGUMENT", said, entity=self.stream)
        if not self._schema:
            said = "The first request of a connection must have a writer_schema."
            raise Failure("INVALID_ARGUMENT", said, entity=self.stream)
        return arrow_rows.read_schema(self._schema)

    def saw(self, fields: Sequence[Field]) -> None:
        """The table has those columns now: if some are new, the next response tells of them."""
        if self._fields and schemas.added(self._fields, fields):
            self._news = fields
        self._fields = fields

    def complete(self, response: Any) -> Any:
        """The response, with what goes into each of them."""
        response.write_stream = self.stream
        if self._news:
            response.updated_schema.CopyFrom(grpc_answers.table_schema(self._news))
            self._news = ()
        return response


class WriteCalls:
    """The calls. Each raises Failure if it cannot be done."""

    def __init__(self, emulator: Emulator, streams: Streams) -> None:
        self._emulator, self._streams = emulator, streams

    async def create(self, request: Any) -> Any:
        """CreateWriteStream."""
        at, kinds = place(request.parent), types.WriteStream.Type
        kind = request.write_stream.type_
        if kind == kinds.BUFFERED.value:
            raise Failure("UNIMPLEMENTED", "BUFFERED streams are not supported by the embedded BigQuery.")
        if kind not in {kinds.COMMITTED.value, kinds.PENDING.value}:
            raise Failure("INVALID_ARGUMENT", "The write stream must have a type.", entity=request.parent)
        async with self._emulator.changing():
            fields, created = self._table(at)
            stream = self._streams.make(at, created, pending=kind == kinds.PENDING.value)
        return grpc_answers.write_stream(stream, self._emulator.location(at.project, str(at.dataset)), fields)

    async def get(self, request: Any) -> Any:
        """GetWriteStream."""
        at = place(request.name)
        fields, created = self._table(at)
        found = self._stream(request.name, at, created) or grpc_answers.default_stream(at, created)
        full = request.view == types.WriteStreamView.FULL.value
        location = self._emulator.location(at.project, str(at.dataset))
        return grpc_answers.write_stream(found, location, fields if full else None)

    async def finalize(self, request: Any) -> Any:
        """FinalizeWriteStream; once more, it says the same."""
        at = place(request.name)
        async with self._emulator.changing():
            stream = self._stream(request.name, at, self._table(at)[1])
            if stream is None:
                said = "The default stream cannot be finalized."
                raise Failure("INVALID_ARGUMENT", said, reason="INVALID_STREAM_TYPE", entity=request.name)
            self._streams.finalize(stream.name)
        return types.FinalizeWriteStreamResponse.pb()(row_count=stream.next)

    async def commit(self, request: Any) -> Any:
        """BatchCommitWriteStreams: all of the streams, or none and what is wrong with each."""
        at = place(request.parent)
        names = list(dict.fromkeys(request.write_streams))
        if not names:
            raise Failure("INVALID_ARGUMENT", "There are no write_streams.", entity=request.parent)
        if elsewhere := [name for name in names if place(name) != at]:
            raise Failure("INVALID_ARGUMENT", "The stream is of another table.", entity=elsewhere[0])
        made = types.BatchCommitWriteStreamsResponse.pb()()
        async with self._emulator.changing():
            fields, created = self._table(at)
            for name in names:
                if wrong := self._not_committable(name, at, created):
                    code = types.StorageError.StorageErrorCode[wrong].value
                    made.stream_errors.add(code=code, entity=name, error_message=f"{wrong} Entity: {name}")
            if not made.stream_errors:
                columns, into = [str(field["name"]) for field in fields], self._emulator.quoted(at)
                async with self._emulator.writing():
                    moment = await asyncio.to_thread(self._streams.commit, names, into, columns)
                self._emulator.touch(at)
                made.commit_time.CopyFrom(grpc_answers.moment(moment))
        return made

    async def append(self, connection: Appends, request: Any) -> Any:
        """One request of an AppendRows call."""
        name = connection.stream
        at = place(name)
        async with self._emulator.changing():
            fields, created = self._table(at)
            connection.saw(fields)
            stream = self._stream(name, at, created)
            _check_state(stream, request, name)
            try:
                schema = connection.schema(request)
                content = request.arrow_rows.rows.serialized_record_batch
                rows = await asyncio.to_thread(arrow_rows.read, schema, content, fields)
                self._assert_streamable(stream, at, rows)
            except MismatchError as error:
                reason = "SCHEMA_MISMATCH_EXTRA_FIELDS" if error.extra else ""
                raise Failure("INVALID_ARGUMENT", str(error), reason=reason, entity=name) from None
            except BadRowsError as error:
                raise grpc_answers.bad_rows(error.rows, name) from None
            async with self._emulator.writing():
                try:
                    await asyncio.to_thread(self._streams.append, stream, self._emulator.quoted(at), rows)
                except _ROWS_FAULT as error:
                    raise Failure("INVALID_ARGUMENT", str(error)[:500], entity=name) from None
            self._emulator.touch(at)
        made = types.AppendRowsResponse.pb()()
        made.append_result.SetInParent()
        if stream is not None:
            made.append_result.offset.value = stream.next
        return made

    def _assert_streamable(self, stream: Stream | None, at: Place, rows: Any) -> None:
        """Rows that are seen at once go into a buffer, which takes those of near partitions alone."""
        column = self._emulator.partition_column(at)
        if column and not (stream and stream.pending):
            arrow_rows.assert_streamable(rows, column, dt.datetime.now(dt.UTC).date())

    async def expire(self, name: str) -> None:
        """Forget a stream: a fault that was asked for."""
        async with self._emulator.changing():
            self._streams.forget(name)

    async def forget_old(self) -> None:
        """Forget the streams whose time is over."""
        async with self._emulator.changing():
            self._streams.forget_old()

    def _table(self, at: Place) -> tuple[list[dict[str, Any]], int]:
        """The columns of a table, and when it was made."""
        fields, created = self._emulator.fields(at), self._emulator.created(at)
        if fields is None or created is None:
            raise grpc_answers.missing(table_name(at), "TABLE_NOT_FOUND")
        if self._emulator.is_view(at):
            raise Failure("INVALID_ARGUMENT", "Rows can only be written to tables.", entity=table_name(at))
        return fields, created

    def _stream(self, name: str, at: Place, created: int) -> Stream | None:
        """The stream, or None for the default one. That of a table that was there before is not the new table's."""
        if name.removeprefix(table_name(at)) in {f"/streams/{DEFAULT}", f"/{DEFAULT}"}:
            return None
        found = self._streams.find(name)
        if found is None or found.created != created:
            raise grpc_answers.missing(name, "STREAM_NOT_FOUND")
        return found

    def _not_committable(self, name: str, at: Place, created: int) -> str:
        """Why a stream cannot be committed, as a StorageErrorCode; empty if it can."""
        try:
            stream = self._stream(name, at, created)
        except Failure as failure:
            return failure.reason
        if stream is None or not stream.pending:
            return "INVALID_STREAM_TYPE"
        if stream.committed is not None:
            return "STREAM_ALREADY_COMMITTED"
        return "" if stream.finalized else "INVALID_STREAM_STATE"


def _check_state(stream: Stream | None, request: Any, name: str) -> None:
    """Whether a stream takes rows at that offset. Raises Failure."""
    offset = request.offset.value if request.HasField("offset") else None
    if stream is None:
        if offset is not None:
            raise Failure("INVALID_ARGUMENT", "An offset is not allowed on the default stream.", entity=name)
        return
    if stream.committed is not None:
        said = "Stream has been committed."
        raise Failure("INVALID_ARGUMENT", said, reason="STREAM_ALREADY_COMMITTED", entity=name)
    if stream.finalized:
        raise Failure("INVALID_ARGUMENT", "Stream has been finalized.", reason="STREAM_FINALIZED", entity=name)
    if offset is None or offset == stream.next:
        return
    if offset < 0:
        raise Failure("INVALID_ARGUMENT", "The offset must not be negative.", entity=name)
    where = f"stream, expected offset {stream.next}, received {offset}"
    if offset < stream.next:
        said = f"The offset is within {where}"
        raise Failure("ALREADY_EXISTS", said, reason="OFFSET_ALREADY_EXISTS", entity=name)
    raise Failure("OUT_OF_RANGE", f"The offset is beyond {where}", reason="OFFSET_OUT_OF_RANGE", entity=name)
