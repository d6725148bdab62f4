"""The gate by gRPC: google.cloud.bigquery.storage.v1.BigQueryRead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from tidemill.bigquery.local import grpc_answers, permissions
from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.answers import denied
from tidemill.bigquery.local.faults import GRPC, Faults
from tidemill.bigquery.local.grpc_answers import Failure
from tidemill.bigquery.local.grpc_service import Service, serialized
from tidemill.bigquery.local.read_calls import ReadCalls
from tidemill.bigquery.local.requests import RequestLog
from tidemill.bigquery.local.tokens import Tokens
from tidemill.bigquery.local.write_calls import place

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
_ROWS = f"/{SERVICE}/ReadRows"
_PROJECT = re.compile(r"projects/([^/]+)(?:/.*)?")
_SESSION = "bigquery.readsessions.create"


class ReadService(Service):
    """The service."""

    name = SERVICE

    def __init__(
        self,
        calls: ReadCalls,
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
        rows = grpc.unary_stream_rpc_method_handler(
            self._read_rows, request_deserializer=types.ReadRowsRequest.pb().FromString, response_serializer=serialized
        )
        create = self.unary(
            "CreateReadSession", types.CreateReadSessionRequest, "read_session.table", self._calls.create
        )
        return {"CreateReadSession": create, "ReadRows": rows}

    def check(self, name: str, granted: frozenset[str]) -> None:
        """See `Service`. "Storage Read API", required permissions: sessions of the project, and data of the table."""
        found = _PROJECT.fullmatch(name)
        if found is None:
            raise Failure("INVALID_ARGUMENT", f"Invalid resource name: {name!r}", ends=True)
        self._known(found[1])
        if "/sessions/" in name:
            if "bigquery.readsessions.getData" not in granted and _SESSION not in granted:
                raise denied("bigquery.readsessions.getData", found[1])
            return
        if _SESSION not in granted:
            raise denied(_SESSION, found[1])
        permissions.check(granted, "bigquery.tables.getData", place(name))

    async def expire(self, name: str) -> None:
        """See `Service`."""
        self._calls.forget(name)

    async def _read_rows(self, request: Any, context: Any) -> None:
        """Send the rows of a stream. A fault of this call comes after its first batch with `after_commit`."""
        fault = self._faults.next(GRPC, _ROWS)
        late = fault if fault and fault.fault in {"status", "cut"} and fault.after_commit else None
        code, failed = "CANCELLED", None
        try:
            stream = await self.do(
                lambda: self._calls.open(request), request.read_stream, context, fault if not late else None
            )
            for answer in stream:
                await context.write(answer)
                if late:
                    raise grpc_answers.of_fault(late)
            code = "OK"
        except Failure as failure:
            code, failed = failure.code, failure
        finally:
            body = {"read_stream": request.read_stream, "offset": request.offset}
            self.write(_ROWS, code, context, body, fault)
        if failed:
            await failed.abort(context)
