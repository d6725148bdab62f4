"""The gate by gRPC: google.cloud.bigquery.storage.v1.BigQueryWrite. Who asks, which call it is, faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from tidemill.bigquery.local import grpc_answers, permissions
from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.faults import GRPC, Fault, Faults
from tidemill.bigquery.local.grpc_answers import Failure
from tidemill.bigquery.local.requests import RequestLog
from tidemill.bigquery.local.tokens import Tokens
from tidemill.bigquery.local.write_calls import Appends, WriteCalls, place

_log = logging.getLogger(__name__)
SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
_APPEND = f"/{SERVICE}/AppendRows"
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # how much is too much, the service says
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # or two servers would share a port
)
Work = Callable[[], Awaitable[Any]]


class WriteService:
    """The service. `known`: raises Refusal if there is no such project."""

    def __init__(
        self,
        calls: WriteCalls,
        tokens: Tokens,
        accounts: Accounts,
        faults: Faults,
        log: RequestLog,
        known: Callable[[str], None],
    ) -> None:
        self._calls, self._tokens, self._accounts, self._faults = calls, tokens, accounts, faults
        self._log, self._known = log, known
        self._server: Any = None
        self._at_work: set[asyncio.Task[Any]] = set()

    async def start(self, port: int) -> None:
        """Listen on that port of 127.0.0.1."""
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        """End all calls, and wait for what is at work."""
        await self._server.stop(None)
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def _handlers(self) -> dict[str, Any]:
        calls = self._calls
        unary = {
            "CreateWriteStream": (types.CreateWriteStreamRequest, "parent", calls.create),
            "GetWriteStream": (types.GetWriteStreamRequest, "name", calls.get),
            "FinalizeWriteStream": (types.FinalizeWriteStreamRequest, "name", calls.finalize),
            "BatchCommitWriteStreams": (types.BatchCommitWriteStreamsRequest, "parent", calls.commit),
            "FlushRows": (types.FlushRowsRequest, "write_stream", _flush),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._unary(f"/{SERVICE}/{name}", *rest[1:]),
                request_deserializer=rest[0].pb().FromString,
                response_serializer=_serialized,
            )
            for name, rest in unary.items()
        }
        # Messages come as they are: their size counts.
        append = grpc.stream_stream_rpc_method_handler(self._append_rows, response_serializer=_serialized)
        return {**handlers, "AppendRows": append}

    def _unary(self, path: str, about: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
        """What answers a call that has one request. `about`: its field that names the table or the stream."""

        async def answer(request: Any, context: Any) -> Any:
            fault = self._faults.next(GRPC, path)
            name = getattr(request, about)
            code, failed = "CANCELLED", None
            try:
                response = await self._do(lambda: call(request), name, context, fault)
                code = "OK"
            except Failure as failure:
                code, failed = failure.code, failure
            finally:
                self._write(path, code, context, {about: name}, fault)
            if failed:
                await failed.abort(context)
            return response

        return answer

    async def _append_rows(self, messages: AsyncIterator[bytes], context: Any) -> None:
        connection = Appends()
        code, failed = "CANCELLED", None
        try:
            async for message in messages:
                await context.write(await self._append(connection, message, context))
            code = "OK"
        except Failure as failure:
            code, failed = failure.code, failure
        finally:
            self._write(_APPEND, code, context, None, None)
        if failed:
            await failed.abort(context)

    async def _append(self, connection: Appends, message: bytes, context: Any) -> Any:
        """The answer to one message of an AppendRows call. Raises Failure if the call is over."""
        fault = self._faults.next(GRPC, _APPEND)
        code, offset = "CANCELLED", None
        try:
            request = connection.take(message)
            offset = request.offset.value if request.HasField("offset") else None
            work = self._do(lambda: self._calls.append(connection, request), connection.stream, context, fault)
            response = await work
            code = "OK"
        except Failure as failure:
            code = failure.code
            if failure.ends:
                raise
            response = failure.response(connection.stream)
        finally:
            self._write(_APPEND, code, context, {"write_stream": connection.stream, "offset": offset}, fault)
        return connection.complete(response)

    async def _do(self, work: Work, name: str, context: Any, fault: Fault | None) -> Any:
        """What is asked of the table or stream of that name, with the fault that happens to it. Raises Failure."""
        if fault and fault.fault == "expire_tokens":
            self._tokens.expire()
        if fault and fault.fault == "expire_stream":
            await self._calls.expire(name)
        answered = fault is not None and fault.fault in {"status", "cut"}
        if fault and answered and not fault.after_commit:
            raise grpc_answers.of_fault(fault)
        try:
            self._check(name, context)
            response = await self._to_its_end(work)
        except Failure:
            if not answered:
                raise
        except Refusal as refusal:
            raise grpc_answers.of_refusal(refusal) from None
        except Exception as error:
            _log.exception("%s", name)
            raise Failure("INTERNAL", f"The embedded BigQuery failed: {error!r}") from error
        if fault and answered:
            raise grpc_answers.of_fault(fault)
        if fault and fault.fault == "delay_response":
            await asyncio.sleep(fault.seconds)
        return response

    def _check(self, name: str, context: Any) -> None:
        """Whether who asks may write to the table. Raises Refusal, Failure.

        "Storage Write API", required permissions: all of its calls need this one. A token must be good at each message.
        """
        metadata = dict(context.invocation_metadata())
        granted = self._accounts.permissions(self._tokens.holder(metadata.get("authorization")))
        at = place(name)
        self._known(at.project)
        permissions.check(granted, "bigquery.tables.updateData", at)

    async def _to_its_end(self, work: Work) -> Any:
        """The work's result. It goes on if who asked is gone: a thread cannot be stopped, and must keep its locks."""
        task = asyncio.ensure_future(work())
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return await asyncio.shield(task)

    def _write(self, path: str, code: str, context: Any, body: dict[str, Any] | None, fault: Fault | None) -> None:
        agent = str(dict(context.invocation_metadata()).get("user-agent", ""))
        self._log.write_call(path, code, agent, body, fault.fault if fault else "")


async def _flush(_: Any) -> Any:
    raise Failure("UNIMPLEMENTED", "BUFFERED streams are not supported by the embedded BigQuery.")


def _serialized(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content
