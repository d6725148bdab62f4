"""Rows of a table by the Storage Read API: Arrow, and only the columns and rows that are asked for.

A session sees the table as it was when it began. A stream that breaks off is gone on with after the last row that came
("Storage Read API": ReadRows with an offset). Several streams are read side by side: their rows come as they come, and
of each stream one batch waits, so that memory is bounded.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
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
_PAUSE = 0.02  # seconds between looks whether a thread has ended


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

    with contextlib.closing(_Calls(client, place, client.cancelled)) as calls:
        session = calls.session(names, where, streams)
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        yield pa.RecordBatch.from_pylist([], schema)
        found = [str(stream.name) for stream in session.streams]
        with contextlib.ExitStack() as opened:
            contents: Iterator[bytes] = iter(())
            if len(found) == 1:
                contents = calls.rows(found[0])
            elif found:
                contents = opened.enter_context(contextlib.closing(_Readers(client, place, found))).rows()
            for content in contents:
                yield pa.ipc.read_record_batch(pa.py_buffer(content), schema)


class _Readers:
    """A thread for each stream of a session, with a channel of its own."""

    def __init__(self, client: Client, place: Place, streams: Sequence[str]) -> None:
        self._stopped = threading.Event()
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(len(streams))
        cancelled = client.cancelled
        self._calls = [_Calls(client, place, lambda: self._stopped.is_set() or cancelled()) for _ in streams]
        self._threads = [
            threading.Thread(target=self._read, args=one, daemon=True) for one in zip(self._calls, streams, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def rows(self) -> Iterator[bytes]:
        """Batches of all streams, each once; those of one are in order."""
        ended = 0
        while ended < len(self._threads):
            found = self._queue.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                ended += 1
            else:
                yield found

    def _read(self, calls: _Calls, stream: str) -> None:
        try:
            with contextlib.closing(calls):
                for content in calls.rows(stream):
                    self._queue.put(content)
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where rows are waited for
            self._queue.put(error)

    def close(self) -> None:
        """Have all end that are still at it: a batch that one has to give is taken from it, and it looks then."""
        self._stopped.set()
        for calls in self._calls:
            calls.close()
        for thread in self._threads:
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
                thread.join(_PAUSE)


class _Calls:
    """The calls of one session, from one thread. `cancelled`: whether to stop waiting."""

    def __init__(self, client: Client, place: Place, cancelled: Callable[[], bool]) -> None:
        self._client, self._place, self._cancelled = client, place, cancelled
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
            return self._client.policy.call(self._target, ask, self._cancelled)

    def rows(self, stream: str) -> Iterator[bytes]:
        """Batches of a stream, each once and in order."""
        offset, waits = 0, self._client.policy.waits(self._cancelled)
        while True:
            try:
                with self._signed("read_stream", stream) as (transport, metadata):
                    request = types.ReadRowsRequest(read_stream=stream, offset=offset)
                    for answer in transport.read_rows(request, metadata=metadata, timeout=_STREAM_TIMEOUT):
                        if self._cancelled():
                            raise Cancelled
                        if answer.row_count:
                            offset += answer.row_count
                            waits = self._client.policy.waits(self._cancelled)
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
