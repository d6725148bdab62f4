"""What the services that come by gRPC have in common: who asks, which call it is, faults."""

from __future__ import annotations

import abc
import asyncio
import logging
import operator
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from tidemill.bigquery.local import grpc_answers
from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.faults import GRPC, Fault, Faults
from tidemill.bigquery.local.grpc_answers import Failure
from tidemill.bigquery.local.requests import RequestLog
from tidemill.bigquery.local.tokens import Tokens

_log = logging.getLogger(__name__)
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # how much is too much, the service says
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # or two servers would share a port
)
Work = Callable[[], Awaitable[Any]]


class Server:
    """Serves some services on one port of this machine."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._server: Any = None

    async def start(self, port: int) -> None:
        """Listen on that port of 127.0.0.1."""
        self._server = grpc.aio.server(options=_OPTIONS)
        for service in self._services:
            handlers = grpc.method_handlers_generic_handler(service.name, service.handlers())
            self._server.add_generic_rpc_handlers((handlers,))
        self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        """End all calls, and wait for what is at work."""
        await self._server.stop(None)
        for service in self._services:
            await service.over()


class Service(abc.ABC):
    """A service. `known`: raises Refusal if there is no such project."""

    name = ""

    def __init__(
        self, tokens: Tokens, accounts: Accounts, faults: Faults, log: RequestLog, known: Callable[[str], None]
    ) -> None:
        self._tokens, self._accounts, self._faults = tokens, accounts, faults
        self._log, self._known = log, known
        self._at_work: set[asyncio.Task[Any]] = set()

    @abc.abstractmethod
    def handlers(self) -> dict[str, Any]:
        """The calls, by their names."""

    @abc.abstractmethod
    def check(self, name: str, granted: frozenset[str]) -> None:
        """Whether who may do that much may do so with what is named. Raises Refusal, Failure."""

    @abc.abstractmethod
    async def expire(self, name: str) -> None:
        """Forget the stream of that name: a fault that was asked for."""

    async def over(self) -> None:
        """Wait for what is at work."""
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def unary(self, method: str, kind: Any, about: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
        """The handler of a call with one request and one answer. `about`: its field that names the table or stream."""
        path, named_in = f"/{self.name}/{method}", operator.attrgetter(about)

        async def answer(request: Any, context: Any) -> Any:
            fault = self._faults.next(GRPC, path)
            named = named_in(request)
            code, failed = "CANCELLED", None
            try:
                response = await self.do(lambda: call(request), named, context, fault)
                code = "OK"
            except Failure as failure:
                code, failed = failure.code, failure
            finally:
                self.write(path, code, context, {about: named}, fault)
            if failed:
                await failed.abort(context)
            return response

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=kind.pb().FromString, response_serializer=serialized
        )

    async def do(self, work: Work, name: str, context: Any, fault: Fault | None) -> Any:
        """What is asked of the table or stream of that name, with the fault that happens to it. Raises Failure."""
        if fault and fault.fault == "expire_tokens":
            self._tokens.expire()
        if fault and fault.fault == "expire_stream":
            await self.expire(name)
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
        """Whether who asks may. A token must be good at each message."""
        metadata = dict(context.invocation_metadata())
        self.check(name, self._accounts.permissions(self._tokens.holder(metadata.get("authorization"))))

    async def _to_its_end(self, work: Work) -> Any:
        """The work's result. It goes on if who asked is gone: a thread cannot be stopped, and must keep its locks."""
        task = asyncio.ensure_future(work())
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return await asyncio.shield(task)

    def write(self, path: str, code: str, context: Any, body: dict[str, Any] | None, fault: Fault | None) -> None:
        """Enter the call into the log of requests."""
        agent = str(dict(context.invocation_metadata()).get("user-agent", ""))
        self._log.write_call(path, code, agent, body, fault.fault if fault else "")


def serialized(message: Any) -> bytes:
    """A message as it is sent."""
    content: bytes = message.SerializeToString()
    return content
