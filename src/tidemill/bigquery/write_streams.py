"""Write streams: rows go into BigQuery as they come, by the Storage Write API, each once where offsets are given."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from tidemill import tracing
from tidemill.bigquery import errors, write_channel, write_outcomes
from tidemill.bigquery.client import USER_AGENT
from tidemill.bigquery.errors import Problem, Target
from tidemill.bigquery.write_channel import Door
from tidemill.bigquery.write_connection import Connection
from tidemill.bigquery.write_outcomes import Failed, Outcome
from tidemill.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.bigquery.client import Client

_PERMISSION = "bigquery.tables.updateData"  # "Storage Write API", required permissions: for all of it
#: Codes of our errors: a stream is not there any more; streams may be committed, or not.
GONE, UNCONFIRMED = "stream_gone", "commit_unconfirmed"
_OVER = {"STREAM_ALREADY_COMMITTED", "STREAM_NOT_FOUND"}
_TIMEOUT = 60.0  # seconds for a call with one answer
_TABLE = re.compile(r"projects/[^/]+/datasets/([^/]+)/tables/([^/]+)")
_ROUTE = {
    "create_write_stream": "parent",
    "finalize_write_stream": "name",
    "batch_commit_write_streams": "parent",
}


class WriteStreams:
    """The write streams of what one client sees. May be used by several threads. It raises only our errors."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._door = Door(client)
        self._guard = threading.Lock()
        self._transport: Any = None
        self._calling = 0
        self._left: list[Any] = []  # transports that calls of other threads may use still

    def create(self, dataset: str, table: str, *, pending: bool = False) -> str:
        """A new stream's name. Rows are seen when they are appended, or with `pending` when the stream is committed."""
        kinds = types.WriteStream.Type
        parent = self._table(dataset, table)
        stream = types.WriteStream(type_=kinds.PENDING if pending else kinds.COMMITTED)
        request = types.CreateWriteStreamRequest(parent=parent, write_stream=stream)
        return str(self._ask("create_write_stream", request, parent).name)

    def finalize(self, name: str) -> int:
        """End a stream; once more is harmless. Gives the number of its rows.

        Raises
        ------
        NotFoundError
            It is gone; or it was ended before, and BigQuery does not tell the number any more.
        """
        request = types.FinalizeWriteStreamRequest(name=name)
        return int(self._ask("finalize_write_stream", request, name).row_count)

    def commit(self, dataset: str, table: str, names: list[str]) -> None:
        """Have the rows of finalized pending streams of one table be seen, all at once; once more is harmless.

        The same streams are always to be committed together: if one of them is, then all are.

        Raises
        ------
        NotFoundError
            One of them is gone; nothing was committed by this call.
        ConflictError
            Of the code ``commit_unconfirmed``: one is gone, and an answer was lost before; they may be committed. Or
            they cannot be committed; nothing was.
        """
        parent = self._table(dataset, table)
        request = types.BatchCommitWriteStreamsRequest(parent=parent, write_streams=names)
        tries = 0

        def ask() -> dict[str, Any]:
            nonlocal tries
            tries += 1
            answer = self._once("batch_commit_write_streams", request, parent)
            return {error.entity: error for error in answer.stream_errors}

        try:
            with tracing.call("batch_commit_write_streams", streams=len(names), table=f"{dataset}.{table}"):
                wrong = self._client.policy.call(self._target(parent), ask, self._client.cancelled)
            codes = {error.code.name for error in wrong.values()}
            raw = "; ".join(f"{error.code.name}: {error.error_message}" for error in wrong.values())
            if not wrong or ("STREAM_ALREADY_COMMITTED" in codes and codes <= _OVER):
                return
            if "STREAM_NOT_FOUND" in codes:
                raise gone(raw)
        except NotFoundError as error:
            if tries > 1 and error.code == GONE:
                raise _unconfirmed(f"{dataset}.{table}", error.raw) from None
            raise
        raise ConflictError(
            "streams_not_committed",
            f"BigQuery did not commit the write streams of {dataset}.{table}: {', '.join(sorted(codes))}.",
            hint="Nothing of them can be seen. Write the rows to new streams.",
            raw=raw,
        )

    def open(self, name: str, schema: pa.Schema) -> Connection:
        """A connection on which rows of that schema are sent to the stream. Close it in the end."""
        target = self._target(name)
        token, metadata = self._client.policy.call(
            target, lambda: self._door.metadata("write_stream", name), self._client.cancelled
        )
        transport = self._client.policy.call(target, self._door.transport, self._client.cancelled)

        def answered(response: Any) -> Outcome:
            self._door.accepted(token)
            return write_outcomes.of_response(response, target)

        def ended(error: grpc.RpcError | None) -> Outcome:
            transport.close()
            if error is None:
                return _broken(target, "BigQuery ended the connection")
            if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._door.refused(token):
                return _broken(target, "the access token was not valid any more")
            return write_outcomes.of_end(error, target)

        def cancelled() -> bool:  # what is asked may be set later
            return self._client.cancelled()

        return Connection(
            name,
            schema,
            lambda requests: write_channel.append_rows(transport)(requests, metadata=metadata),
            answered=answered,
            ended=ended,
            cancelled=cancelled,
            trace=USER_AGENT,
        )

    def close(self) -> None:
        """Close the channel of all calls but those of connections."""
        with self._guard:
            if self._transport is not None:
                self._transport.close()
                self._transport = None

    @contextlib.contextmanager
    def _calls(self) -> Iterator[Any]:
        """The transport, for one call."""
        with self._guard:
            self._transport = self._transport or self._door.transport()
            self._calling += 1
            transport = self._transport
        try:
            yield transport
        finally:
            with self._guard:
                self._calling -= 1
                if not self._calling:
                    while self._left:
                        self._left.pop().close()

    def _leave(self, transport: Any) -> None:
        """Calls to come take a new one, which does not wait before it connects, and asks for the address."""
        with self._guard:
            if self._transport is transport:
                self._left.append(transport)
                self._transport = None

    def _ask(self, method: str, request: Any, about: str) -> Any:
        """Make a call with one answer."""
        with tracing.call(method, stream=about):
            return self._client.policy.call(
                self._target(about), lambda: self._once(method, request, about), self._client.cancelled
            )

    def _once(self, method: str, request: Any, about: str) -> Any:
        """Make the call, and again if the token was void: the embedded BigQuery forgets them when it stops."""
        while True:
            token, metadata = self._door.metadata(_ROUTE[method], about)
            with self._calls() as transport:
                try:
                    answer = getattr(transport, method)(request, metadata=metadata, timeout=_TIMEOUT)
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._door.refused(token):
                        continue
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        self._leave(transport)
                    if _is_gone(error, method):
                        raise gone(str(error.details())) from None
                    raise
            self._door.accepted(token)
            return answer

    def _table(self, dataset: str, table: str) -> str:
        return f"projects/{self._client.project}/datasets/{dataset}/tables/{table}"

    def _target(self, name: str) -> Target:
        found = _TABLE.match(name)
        return self._client.target(_PERMISSION, *(found.groups() if found else ()))


def _is_gone(error: grpc.RpcError, method: str) -> bool:
    """Whether the stream is not there any more; or nothing can be told of it, which comes to the same."""
    reason = write_outcomes.reason(error)
    if reason == "STREAM_FINALIZED":
        return method == "finalize_write_stream"
    of_stream = error.code() is grpc.StatusCode.NOT_FOUND and "/streams/" in str(error.details())
    return of_stream or reason == "STREAM_NOT_FOUND"


def _broken(target: Target, why: str) -> Failed:
    return Failed(errors.translate(Problem(503, "backendError", why), target))


def gone(raw: str) -> NotFoundError:
    """That a stream is not there any more."""
    return NotFoundError(
        GONE,
        "A write stream is not there any more.",
        hint="BigQuery forgets streams that nobody writes to. Write the rows to a new one.",
        raw=raw,
    )


def _unconfirmed(table: str, raw: str) -> ConflictError:
    return ConflictError(
        UNCONFIRMED,
        f"It is not known whether BigQuery has committed the write streams of {table}.",
        hint="Look into the table.",
        raw=raw,
    )
