"""Google's client of the Storage Write API against the gate, a connection at a time."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pyarrow as pa
from google.api_core import exceptions as api
from google.auth.transport.requests import Request
from google.cloud import bigquery_storage_v1 as storage
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from tests.integration.bigquery_local.warehouse import Warehouse

from tidemill.bigquery.credentials import Auth, build
from tidemill.bigquery.local.service import DEFAULT_PROJECT

SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite"
APPEND = f"{SERVICE}/AppendRows"
OPTIONS = [("grpc.max_send_message_length", -1)]


class Writer:
    """Google's client, signed in."""

    def __init__(self, warehouse: Warehouse, account: str = "tidemill-admin", **permissions: Any) -> None:
        self._warehouse = warehouse
        self._channel = grpc.insecure_channel(warehouse.local.status().storage, OPTIONS)
        self.client = storage.BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=self._channel))
        credentials = build(Auth(json.dumps(warehouse.local.key(account, **permissions))))
        credentials.refresh(Request())
        self.metadata = [("authorization", f"Bearer {credentials.token}")]

    def table(self, name: str) -> str:
        """A table's name, as this API has it."""
        return f"projects/{DEFAULT_PROJECT}/datasets/{self._warehouse.dataset}/tables/{name}"

    def create(self, table: str, kind: str = "COMMITTED") -> str:
        """A new stream's name."""
        made = self.client.create_write_stream(
            parent=self.table(table), write_stream=types.WriteStream(type_=kind), metadata=self.metadata
        )
        return str(made.name)

    def finalize(self, name: str) -> int:
        """Finalize a stream."""
        return int(self.client.finalize_write_stream(name=name, metadata=self.metadata).row_count)

    def commit(self, table: str, *names: str) -> types.BatchCommitWriteStreamsResponse:
        """Commit streams."""
        request = types.BatchCommitWriteStreamsRequest(parent=self.table(table), write_streams=names)
        return self.client.batch_commit_write_streams(request, metadata=self.metadata)

    def append(self, *requests: Any) -> list[types.AppendRowsResponse]:
        """Send requests on one connection; gives what is answered."""
        return list(self.client.append_rows(iter(requests), metadata=self.metadata, retry=None))

    def connect(self) -> Connection:
        """A connection that stays open."""
        return Connection(self)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class Connection:
    """One AppendRows call: a request, and its answer."""

    def __init__(self, writer: Writer) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stub = writer.client.transport.append_rows
        self._call: Iterator[types.AppendRowsResponse] = stub(iter(self._requests.get, None), metadata=writer.metadata)

    def send(self, request: Any) -> None:
        """Send a request."""
        self._requests.put(request)

    def answer(self) -> types.AppendRowsResponse:
        """The next answer."""
        return next(self._call)

    def ask(self, request: Any) -> types.AppendRowsResponse:
        """Send a request and wait for its answer."""
        self.send(request)
        return self.answer()

    def end(self) -> None:
        """No more requests: the call ends well."""
        self._requests.put(None)
        assert list(self._call) == []


def rows(
    content: pa.RecordBatch | dict[str, Iterable[Any]],
    stream: str = "",
    offset: int | None = None,
    *,
    schema: bool = True,
) -> types.AppendRowsRequest:
    """A request with Arrow rows."""
    batch = content if isinstance(content, pa.RecordBatch) else pa.RecordBatch.from_pydict(content)
    request = types.AppendRowsRequest(write_stream=stream)
    if offset is not None:
        request.offset = offset
    if schema:
        request.arrow_rows.writer_schema.serialized_schema = batch.schema.serialize().to_pybytes()
    request.arrow_rows.rows.serialized_record_batch = batch.serialize().to_pybytes()
    return request


def numbers(*values: int | None) -> pa.RecordBatch:
    """Rows of a table ``a INT64``."""
    return pa.RecordBatch.from_pydict({"a": pa.array(values, pa.int64())})


def error(response: types.AppendRowsResponse) -> tuple[str, str]:
    """The code and the StorageErrorCode of an answer; empty if it is no error, or has none."""
    if not response.error.code:
        return "", ""
    code = next(code.name for code in grpc.StatusCode if code.value[0] == response.error.code)
    return code, reason(response.error)


def code_of(writer: Writer, request: Any) -> str:
    """The code of the error that is answered, or that the call ends with."""
    try:
        return error(writer.append(request)[0])[0]
    except api.GoogleAPICallError as caught:
        assert caught.grpc_status_code is not None
        return str(caught.grpc_status_code.name)


def reason(status: Any) -> str:
    """The StorageErrorCode in a google.rpc.Status."""
    detail = types.StorageError.pb()()
    for packed in status.details:
        if packed.Unpack(detail):
            return str(types.StorageError.StorageErrorCode(detail.code).name)
    return ""
