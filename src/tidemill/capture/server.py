"""The ASGI application of `tidemill serve`: parts that it is given, each for some addresses; health, and metrics."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol

from tidemill.capture.http import TEXT, Answer, Receive, Request, Scope, Send, respond
from tidemill.capture.metrics import Metrics

#: In the scope of a request: by which name it is counted. A part sets it.
API = "tidemill.api"
_log = logging.getLogger(__name__)
_NOT_FOUND = Answer(404, b'{"error":"there is nothing at this address"}')
_FAILED = Answer(500, b'{"error":"the server failed; its log says why"}')
_OPTIONS = Answer(204, b"", TEXT, ((b"allow", b"GET, HEAD, OPTIONS"),))
_ALIVE = frozenset({"/health", "/_liveness", "/livez"})
_READY = frozenset({"/ready", "/_readiness", "/readyz"})
_LOCAL = frozenset({"127.0.0.1", "::1", None})


class Part(Protocol):
    """What answers at some addresses of a server."""

    def has(self, path: str) -> bool:
        """Whether it answers there."""

    async def answer(self, request: Request, send: Send) -> None:
        """Answer one request. It says in the request's scope by which name (API) it is counted."""

    def look(self) -> None:
        """Raise if something is away that it needs."""


class Server:
    """One a process."""

    def __init__(
        self,
        opened: Callable[[], Sequence[Part]],
        closed: Callable[[], None],
        metrics: Metrics,
        metrics_token: str | None,
    ) -> None:
        """`opened` and `closed` are called at both ends of life; `opened` gives the parts: the first that has an
        address answers there.

        `metrics_token`: who has it may read the metrics; without one, who asks from this machine."""
        self._opened, self._closed = opened, closed
        self._metrics, self._token = metrics, metrics_token
        self._parts: Sequence[Part] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; or begin, and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(Request(scope, receive), send)

    def open(self) -> None:
        """Begin to live."""
        self._parts = self._opened()

    def close(self) -> None:
        """End."""
        self._closed()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await asyncio.to_thread(self.open)
                except Exception as error:  # noqa: BLE001 - told to who starts us, in one line
                    _log.error("The server cannot start: %s", error)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, request: Request, send: Send) -> None:
        status = 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            try:
                await send(message)
            except OSError:
                raise _Gone from None

        try:
            try:
                for part in self._parts:
                    if part.has(request.path):
                        await part.answer(request, sending)
                        break
                else:
                    await respond(sending, request, await self._own(request))
            except _Gone:
                raise
            except Exception:  # noqa: BLE001 - a bug of ours, not the sender's
                _log.exception("%s %s", request.method, request.path)
                if not status:
                    await respond(sending, request, _FAILED)
        except _Gone:
            pass
        if status:
            self._metrics.answered(request.scope.get(API, "other"), status)

    async def _own(self, request: Request) -> Answer:
        path = request.path
        if request.method == "OPTIONS":
            return _OPTIONS
        if path in _ALIVE:
            return Answer(200, b'{"alive":true}')
        if path in _READY:
            return await self._readiness()
        if path == "/metrics":
            return await self._measured(request)
        return _NOT_FOUND

    async def _readiness(self) -> Answer:
        try:
            for part in self._parts:
                await asyncio.to_thread(part.look)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            _log.warning("not ready: %s", error)
            return Answer(503, b'{"ready":false}')
        return Answer(200, b'{"ready":true}')

    async def _measured(self, request: Request) -> Answer:
        given = request.headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if self._token is not None:
            allowed = secrets.compare_digest(given, self._token.encode())
        else:
            allowed = request.address in _LOCAL and b"x-forwarded-for" not in request.headers and _is_ours(request)
        if not allowed:
            return Answer(401, b"The metrics are for who has the token: TIDEMILL_METRICS_TOKEN.", TEXT)
        packed = b"gzip" in request.headers.get(b"accept-encoding", b"")
        text = await asyncio.to_thread(self._text, packed=packed)
        headers = ((b"content-encoding", b"gzip"),) if packed else ()
        return Answer(200, text, b"text/plain; version=0.0.4; charset=utf-8", headers)

    def _text(self, *, packed: bool) -> bytes:
        """The metrics: of thousands of exports ten megabytes, and a thirtieth of that packed."""
        from isal import igzip  # who is never asked for metrics does without

        text = self._metrics.text()
        return bytes(igzip.compress(text, 1)) if packed else text


def _is_ours(request: Request) -> bool:
    """Whether it asks for this machine by an address, or as localhost. A page that somebody here looks at may ask by a
    name of its own, which its DNS has lead to this machine: the browser would let it read the answer."""
    host = request.headers.get(b"host", b"").decode("latin-1").strip().lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name in {"", "localhost"} or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Gone(OSError):  # noqa: N818 - it is nobody's error
    """The sender went away: nobody waits for the rest."""
