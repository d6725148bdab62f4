"""The gate by gRPC: google.cloud.bigquery.storage.v1.BigQueryWrite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from tidemill.bigquery.local import permissions
from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.faults import GRPC, Faults
from tidemill.bigquery.local.grpc_answers import Failure
from tidemill.bigquery.local.grpc_service import Service, serialized
from tidemill.bigquery.local.requests import RequestLog
from tidemill.bigquery.local.tokens import Tokens
from tidemill.bigquery.local.write_calls import Appends, WriteCalls, place

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryWrite"
_APPEND = f"/{SERVICE}/AppendRows"


class WriteService(Service):
    """The service."""

    name = SERVICE

    def __init__(
        self,
        calls: WriteCalls,
        tokens: Tokens,
        accounts: Accounts,
        faults: Faults,
        log: RequestLog,
        known: Callable[[str], None],
    ) -> None:
        super().__init__(tokens, accounts, faults, log, known)
        self._calls = calls

    def handlers(self) -> dict[str, Any]:
        """See `Service`."""
        calls = self._calls
        unary = {
            "CreateWriteStream": (types.CreateWriteStreamRequest, "parent", calls.create),
            "GetWriteStream": (types.GetWriteStreamRequest, "name", calls.get),
            "FinalizeWriteStream": (types.FinalizeWriteStreamRequest, "name", calls.finalize),
            "BatchCommitWriteStreams": (types.BatchCommitWriteStreamsRequest, "parent", calls.commit),
            "FlushRows": (types.FlushRowsRequest, "write_stream", _flush),
        }
        handlers = {method: self.unary(method, *rest) for method, rest in unary.items()}
        # Messages come as they are: their size counts.
        append = grpc.stream_stream_rpc_method_handler(self._append_rows, response_serializer=serialized)
        return {**handlers, "AppendRows": append}

    def check(self, name: str, granted: frozenset[str]) -> None:
        """See `Service`. "Storage Write API", required permissions: all of its calls need this one."""
        at = place(name)
        self._known(at.project)
        permissions.check(granted, "bigquery.tables.updateData", at)

    async def expire(self, name: str) -> None:
        """See `Service`."""
        await self._calls.expire(name)

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
            self.write(_APPEND, code, context, None, None)
        if failed:
            await failed.abort(context)

    async def _append(self, connection: Appends, message: bytes, context: Any) -> Any:
        """The answer to one message of an AppendRows call. Raises Failure if the call is over."""
        fault = self._faults.next(GRPC, _APPEND)
        code, offset = "CANCELLED", None
        try:
            request = connection.take(message)
            offset = request.offset.value if request.HasField("offset") else None
            work = self.do(lambda: self._calls.append(connection, request), connection.stream, context, fault)
            response = await work
            code = "OK"
        except Failure as failure:
            code = failure.code
            if failure.ends:
                raise
            response = failure.response(connection.stream)
        finally:
            self.write(_APPEND, code, context, {"write_stream": connection.stream, "offset": offset}, fault)
        return connection.complete(response)


async def _flush(_: Any) -> Any:
    raise Failure("UNIMPLEMENTED", "BUFFERED streams are not supported by the embedded BigQuery.")
