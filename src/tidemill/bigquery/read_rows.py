"""Rows of a table by the Storage Read API: Arrow, and only the columns and rows that are asked for.

A session sees the table as it was when it began. A stream that breaks off is gone on with after the last row that came
("Storage Read API": ReadRows with an offset).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from tidemill import tracing
from tidemill.bigquery import errors
from tidemill.bigquery.errors import Again, Target
from tidemill.bigquery.retry import understand
from tidemill.bigquery.sql import Place
from tidemill.bigquery.write_channel import Door
from tidemill.errors import AccessError, Cancelled

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.bigquery.client import Client

PERMISSION = "bigquery.readsessions.create"
_TIMEOUT = 60.0  # seconds for a call with one answer
_STREAM_TIMEOUT = 600.0


def is_closed(error: AccessError) -> bool:
    """Whether this way of reading is closed to who asks: there are others then."""
    return error.code == "api_disabled" or PERMISSION in f"{error.message} {error.raw}"


def table(client: Client, place: Place, names: Sequence[str], where: str) -> pa.Table:
    """All rows at once; for what fits into memory."""
    import pyarrow as pa  # 50 ms

    found = list(batches(client, place, names, where))
    return pa.Table.from_batches(found[1:], found[0].schema)


def batches(client: Client, place: Place, names: Sequence[str], where: str = "", streams: int = 1) -> Iterator[Any]:
    """Rows of a table in batches, of which the first has none; `where`: a condition on its columns.

    Raises
    ------
    AccessError
        The permission to read that way is missing, or that to read the table.
    TidemillError
        It cannot be read.
    """
    import pyarrow as pa  # 50 ms

    with contextlib.closing(_Calls(client, place)) as calls:
        session = calls.session(names, where, streams)
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        yield pa.RecordBatch.from_pylist([], schema)
        for stream in session.streams:
            for content in calls.rows(stream.name):
                yield pa.ipc.read_record_batch(pa.py_buffer(content), schema)


class _Calls:
    """The calls of one session."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client, self._place = client, place
        self._door = Door(client)
        self._target: Target = client.target(PERMISSION, place[1], place[2])
        self._transport: Any = None

    def close(self) -> None:
        """Close the channel."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def session(self, names: Sequence[str], where: str, streams: int) -> Any:
        """Begin it."""
        project, dataset, name = self._place
        wanted = types.ReadSession(
            table=f"projects/{project}/datasets/{dataset}/tables/{name}",
            data_format=types.DataFormat.ARROW,
            read_options=types.ReadSession.TableReadOptions(
                selected_fields=list(names),
                row_restriction=where,
                arrow_serialization_options=types.ArrowSerializationOptions(
                    buffer_compression=types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
                ),
            ),
        )
        request = types.CreateReadSessionRequest(
            parent=f"projects/{self._client.project}", read_session=wanted, max_stream_count=streams
        )

        def ask() -> Any:
            with self._signed("read_session.table", wanted.table) as (transport, metadata):
                return transport.create_read_session(request, metadata=metadata, timeout=_TIMEOUT)

        with tracing.call("create_read_session", resource=self._target.resource):
            return self._client.policy.call(self._target, ask, self._client.cancelled)

    def rows(self, stream: str) -> Iterator[bytes]:
        """Batches of a stream, each once and in order."""
        offset, waits = 0, self._client.policy.waits(self._client.cancelled)
        while True:
            try:
                with self._signed("read_stream", stream) as (transport, metadata):
                    request = types.ReadRowsRequest(read_stream=stream, offset=offset)
                    for answer in transport.read_rows(request, metadata=metadata, timeout=_STREAM_TIMEOUT):
                        if self._client.cancelled():
                            raise Cancelled
                        if answer.row_count:
                            offset += answer.row_count
                            waits = self._client.policy.waits(self._client.cancelled)
                            yield answer.arrow_record_batch.serialized_record_batch
                    return
            except grpc.RpcError as error:
                problem = understand(error, self._target)
                if errors.again(problem, job=False) is Again.NO:
                    raise errors.translate(problem, self._target) from None
                waits(errors.translate(problem, self._target))

    @contextlib.contextmanager
    def _signed(self, about: str, value: str) -> Iterator[tuple[Any, Any]]:
        """The transport and the metadata of one call; a token that is void is fetched anew for the next."""
        token, metadata = self._door.metadata(about, value)
        self._transport = self._transport or self._door.reading()
        try:
            yield self._transport, metadata
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._door.refused(token):
                raise _Unsigned from error
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self.close()
            raise
        self._door.accepted(token)


class _Unsigned(grpc.RpcError):  # type: ignore[misc]  # a call's end, as gRPC has it
    """The token was void; another is worth a try."""

    def code(self) -> Any:
        """As if the service had been away."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Why."""
        return "the access token was not valid any more"
