"""Stands before all that the web app answers: without a session there is nothing but the doors.

Each request and each websocket is looked at before NiceGUI sees it: its host, its origin, its size, who is signed in.
"""

from __future__ import annotations

import asyncio
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.capture.http import OVERLOADED
from tidemill.errors import TidemillError, UnavailableError
from tidemill.web import cookies, headers
from tidemill.web.numbers import whole
from tidemill.web.sessions import Sessions

#: Where the session, its text, and the nonce of scripts are in a scope.
SESSION, TEXT, NONCE = "tidemill.session", "tidemill.session_text", "tidemill.nonce"
#: Probes ask it, by whatever address a machine has.
_HEALTH = "/health"
#: What is answered to anybody. /static/ holds our style and scripts, nothing of anybody.
_OPEN = ("/sign-in", "/set-up", "/oidc/", "/static/", "/favicon.ico", _HEALTH)
_PAGES_OF_NICEGUI, _SOCKET = "/_nicegui", "/_nicegui_ws/"
_SAFE = {"GET", "HEAD"}
#: Most bytes of a request: of a form, and of a file that somebody chose.
FORM_BYTES, UPLOAD_BYTES = 64_000, 10_000_000
#: So long they may take.
FORM_SECONDS, UPLOAD_SECONDS = 30.0, 300.0


class TooLarge(Exception):  # noqa: N818 - it ends a request
    """A request's body is larger than it may be."""


class TooSlow(Exception):  # noqa: N818 - it ends a request
    """A request's body takes longer than it may."""


class _Body:
    """Receives a request's body, as much of it as there may be, as long as it may take."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._most = receive, most
        self._until, self._more = asyncio.get_running_loop().time() + seconds, True
        self.taken = 0

    async def __call__(self) -> Message:
        if not self._more:  # it is waited for that somebody goes away
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow from None
        self._more = bool(message.get("more_body"))
        self.taken += len(message.get("body", b""))
        if self.taken > self._most:
            raise TooLarge
        return message


class Guard:
    """See the module. `addresses`: those of the setting `web_address`; without one each host is taken."""

    def __init__(self, inner: ASGIApp, sessions: Sessions, addresses: Sequence[str] = ()) -> None:
        self._inner, self._sessions = inner, sessions
        self._hosts = frozenset(urllib.parse.urlsplit(address).netloc.lower() for address in addresses)
        self._tls = any(address.lower().startswith("https://") for address in addresses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the web app do it."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        websocket = scope["type"] == "websocket"
        if self._tls:  # people come by TLS, whatever the proxy says of itself
            scope["scheme"] = "wss" if websocket else "https"
        nonce = scope[NONCE] = secrets.token_urlsafe(16)
        sent = send if websocket else self._safely(scope, send, nonce)
        refused = self._refused(scope, websocket=websocket) or await self._let_in(scope, websocket=websocket)
        if refused is not None:
            await _answer(refused, scope, receive, sent, websocket=websocket)
        elif websocket:
            await self._inner(scope, receive, send)
        else:
            await self._bounded(scope, receive, sent)

    def _safely(self, scope: Scope, send: Send, nonce: str) -> Send:
        tls, path = cookies.is_secure(scope), scope["path"]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                of_nicegui = scope.get(SESSION) is not None and not _is_open(path)
                pairs = headers.secured(message.get("headers", []), path, nonce if of_nicegui else None, tls=tls)
                message = {**message, "headers": pairs}
            await send(message)

        return sent

    def _refused(self, scope: Scope, *, websocket: bool) -> Response | None:
        """What is wrong with a request, whoever it is of."""
        if OVERLOADED in scope.get("extensions", ()):
            return PlainTextResponse("There are too many connections: try again.\n", 503, {"retry-after": "5"})
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            return PlainTextResponse("This is not an address: it holds a zero byte.\n", 400)
        found = Headers(scope=scope)
        host = found.get("host", "").lower()
        if self._hosts and host not in self._hosts and scope["path"] != _HEALTH:
            return PlainTextResponse("This is not the address of this installation (TIDEMILL_WEB_ADDRESS).\n", 421)
        if not websocket and scope["path"].startswith(_SOCKET):
            return PlainTextResponse("Only websockets are spoken here.\n", 403)
        if (websocket or scope["method"] not in _SAFE) and not _is_ours(found.get("origin"), host, scope):
            return PlainTextResponse("This was sent by a page of another address, so it is not done.\n", 403)
        return None

    async def _let_in(self, scope: Scope, *, websocket: bool) -> Response | None:
        """Find out who it is; the answer, if it is nobody."""
        text = cookies.read(scope).get(cookies.SESSION, "")
        try:
            session = self._sessions.remembered(text) or await asyncio.to_thread(self._sessions.find, text)
        except UnavailableError as error:
            return PlainTextResponse(f"{error.message} {error.hint}\n", 503, {"retry-after": "5"})
        scope[SESSION], scope[TEXT] = session, text
        path = scope["path"]
        if session is not None or (not websocket and _is_open(path)):
            return None
        if websocket or scope["method"] not in _SAFE or path.startswith(_PAGES_OF_NICEGUI):
            return PlainTextResponse("Sign in first.\n", 401)
        asked = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        then = "" if asked == "/" else "?" + urllib.parse.urlencode({"next": asked})
        return RedirectResponse(f"/sign-in{then}", 303)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered, if its body is not too large."""
        is_upload = scope["path"].startswith(_PAGES_OF_NICEGUI)
        most, seconds = (UPLOAD_BYTES, UPLOAD_SECONDS) if is_upload else (FORM_BYTES, FORM_SECONDS)
        said = Headers(scope=scope).get("content-length", "0")
        too_large = PlainTextResponse(f"It is larger than {most:,} bytes.\n", 413)
        if whole(said, most + 1) > most:
            await too_large(scope, receive, send)
            return
        body, began = _Body(receive, most, seconds), False

        async def sent(message: Message) -> None:
            nonlocal began
            if began or body.taken <= most:  # else it is said that something failed, and it is known what
                began = True
                await send(message)

        try:
            await self._inner(scope, body, sent)
        except (TooLarge, TooSlow) as error:
            if not began:
                slow = PlainTextResponse("It took too long to come.\n", 408, {"connection": "close"})
                await (too_large if isinstance(error, TooLarge) else slow)(scope, receive, send)
        except TidemillError as error:
            if began:
                raise
            await PlainTextResponse(f"{error.message} {error.hint}\n", 503)(scope, receive, send)


def _is_open(path: str) -> bool:
    return any(path.startswith(one) if one.endswith("/") else path == one for one in _OPEN)


def _is_ours(origin: str | None, host: str, scope: Scope) -> bool:
    """Whether a page of ours sent it. Each browser says so of what changes something, and of a websocket."""
    if not origin:
        return False
    parts = urllib.parse.urlsplit(origin.lower())
    schemes = {"https"} if scope["scheme"] in {"https", "wss"} else {"http", "https"}  # of a proxy with TLS
    return parts.scheme in schemes and parts.netloc == host


async def _answer(
    response: Response,
    scope: Scope,
    receive: Receive,
    send: Callable[[Any], Awaitable[None]],
    *,
    websocket: bool,
) -> None:
    if websocket:
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008, "reason": ""})  # before it is accepted: 403
    else:
        await response(scope, receive, send)
