"""The ASGI application of `tidemill serve`: events from SDKs, health, and metrics."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tidemill.capture.dialects import posthog
from tidemill.capture.dialects.dialect import Trouble
from tidemill.capture.http import OVERLOADED, TEXT, Answer, Receive, Request, Scope, Send, preflight, respond
from tidemill.capture.intake import AGAIN_SECONDS, API, DIALECTS, Intake
from tidemill.capture.metrics import Metrics

#: An ASGI application.
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_log = logging.getLogger(__name__)
_NOT_FOUND = Answer(404, b'{"error":"there is nothing at this address"}')
_FAILED = Answer(500, b'{"error":"the server failed; its log says why"}')
_ALIVE = frozenset({"/health", "/_liveness", "/livez"})
_READY = frozenset({"/ready", "/_readiness", "/readyz"})
#: Below that is what the API answers, if this server has one.
_API = "/api/"
_LOCAL = frozenset({"127.0.0.1", "::1", None})


class Server:
    """One a process."""

    def __init__(
        self,
        opened: Callable[[], Intake | None],
        closed: Callable[[], None],
        metrics: Metrics,
        metrics_token: str | None,
        look: Callable[[], None] | None = None,
        api: Callable[[], Application] | None = None,
    ) -> None:
        """`opened` and `closed` are called at both ends of life. `look`: of a server that takes no events; it raises if
        something is away that the server needs. `api`: makes what answers below /api/, when that is first asked for: it
        takes memory, of which an idle server is to use little.

        `metrics_token`: who has it may read the metrics; without one, who asks from this machine."""
        self._opened, self._closed = opened, closed
        self._metrics, self._token, self._look = metrics, metrics_token, look
        self._intake: Intake | None = None
        self._make_api, self._making = api, asyncio.Lock()
        self._api: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; or begin, and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and self._make_api is not None and scope["path"].startswith(_API):
            await self._ask_api(self._make_api, scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Request(scope, receive), send)

    async def _ask_api(self, make: Callable[[], Application], scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            async with self._making:
                if self._api is None:
                    self._api = await asyncio.to_thread(make)
                api: Application = self._api
            await api(scope, receive, sending)
        except OSError:  # the sender went away
            return
        except Exception:  # noqa: BLE001 - a bug of ours, not the sender's
            _log.exception("%s %s", scope["method"], scope["path"])
            if not status:
                await respond(sending, Request(scope, receive), _FAILED)
        self._metrics.answered("api", status)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self._intake = await asyncio.to_thread(self._opened)
                except Exception as error:  # noqa: BLE001 - told to who starts us, in one line
                    _log.error("The server cannot start: %s", error)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self._closed)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, request: Request, send: Send) -> None:
        intake = self._intake
        dialect = DIALECTS.get(request.path) if self._look is None else None
        api = dialect.name if dialect else "other"
        answer: Answer | None
        try:
            if request.method == "OPTIONS":
                answer = preflight(request)
            elif dialect is not None and OVERLOADED in request.scope.get("extensions", ()):
                answer = dialect.trouble(Trouble.BUSY, "too many connections").later(AGAIN_SECONDS)
            elif dialect is not None:
                assert intake is not None  # noqa: S101 - the server has begun
                answer = await intake.answer(request, dialect)
            else:
                answer = (posthog.aside(request.path) if self._look is None else None) or await self._own(request)
        except Exception:  # noqa: BLE001 - a bug of ours, not the sender's
            _log.exception("%s %s", request.method, request.path)
            answer = _FAILED
        if answer is None:
            return
        self._metrics.answered(request.scope.get(API, api), answer.status)
        try:
            await respond(send, request, answer)
        except OSError:  # the sender went away
            return

    async def _own(self, request: Request) -> Answer:
        path = request.path
        if path in _ALIVE:
            return Answer(200, b'{"alive":true}')
        if path in _READY:
            return await self._readiness()
        if path == "/metrics":
            return await self._measured(request)
        return _NOT_FOUND

    async def _readiness(self) -> Answer:
        try:
            look = self._look or (self._intake and self._intake.look)
            assert look  # noqa: S101 - the server has begun
            await asyncio.to_thread(look)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            _log.warning("not ready: %s", error)
            return Answer(503, b'{"ready":false}')
        return Answer(200, b'{"ready":true}')

    async def _measured(self, request: Request) -> Answer:
        given = request.headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if self._token is not None:
            allowed = secrets.compare_digest(given, self._token.encode())
        else:
            allowed = request.address in _LOCAL and b"x-forwarded-for" not in request.headers
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
