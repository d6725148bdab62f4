"""Idempotency-Key: a POST that is sent again, because its answer was lost, is the same call, and is answered the same.

Kept is what was answered well. Whatever was refused, or failed, has made nothing, and may be tried again with its key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from tidemill.api.v1 import problems
from tidemill.api.v1.bodies import is_file
from tidemill.errors import TidemillError

if TYPE_CHECKING:
    import uuid

    from tidemill.access.calls import Answer
    from tidemill.api.v1.bodies import Application, Message, Receive, Scope, Send
    from tidemill.app import App

HEADER = "Idempotency-Key"
#: For the description: it may be sent with any POST.
PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The same within a day is the same call: it is done once, and answered the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_NAME, _BEARER = HEADER.lower().encode(), b"bearer "
#: What knows by itself that it is asked for again: it names the run that a sync has anyway.
_OWN = re.compile(r"/api/v1/syncs/[^/]+/trigger|/api/v1/dbt/[^/]+/webhook")


class Once:
    """An ASGI application around another one, whose bodies come whole."""

    def __init__(self, inner: Application, app: App) -> None:
        self._inner, self._app = inner, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] != "POST" or _NAME not in headers or is_file(scope) or _OWN.fullmatch(scope["path"]):
            await self._inner(scope, receive, send)
            return
        token = await asyncio.to_thread(self._token, headers.get(b"authorization", b""))
        if token is None:  # it is refused
            await self._inner(scope, receive, send)
            return
        first = await receive()
        key, asked = headers[_NAME].decode("latin-1"), _asked(scope, first.get("body", b""))
        try:
            known = await asyncio.to_thread(self._app.calls.begin, token, key, asked)
        except TidemillError as error:
            await _send(send, *_problem(error))
            return
        if known is not None:
            await _send(send, known.status, known.headers, known.body)
            return
        await self._do(scope, _again(first, receive), send, (token, key, asked))

    async def _do(self, scope: Scope, receive: Receive, send: Send, call: tuple[uuid.UUID, str, str]) -> None:
        """Have it done, and keep what was answered before it is sent: whoever sent it may be gone."""
        told: list[Message] = []
        try:
            await self._inner(scope, receive, _keeping(told))
        except Exception:  # who was told to stop may have a thread that goes on: it is not known what it has done
            await asyncio.to_thread(self._app.calls.forget, *call[:2])
            raise
        found = _answer(told)
        if 200 <= found.status < 300:
            await asyncio.to_thread(self._app.calls.end, *call, found)
        else:
            await asyncio.to_thread(self._app.calls.forget, *call[:2])
        for message in told:
            await send(message)

    def _token(self, authorization: bytes) -> uuid.UUID | None:
        if authorization[: len(_BEARER)].lower() != _BEARER:
            return None
        token = self._app.tokens.holder(authorization[len(_BEARER) :].decode("latin-1").strip())
        return token.id if token is not None else None


def _asked(scope: Scope, body: bytes) -> str:
    """All that is asked for, by a hash."""
    parts = (scope["path"].encode(), scope.get("query_string", b""), body)
    return hashlib.sha256(json.dumps([part.hex() for part in parts]).encode()).hexdigest()


def _again(first: Message, receive: Receive) -> Receive:
    """Gives a message that was taken, and then what else comes."""
    given = False

    async def giving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return first

    return giving


def _keeping(told: list[Message]) -> Send:
    async def keeping(message: Message) -> None:
        told.append(message)

    return keeping


def _answer(told: list[Message]) -> Answer:
    from tidemill.access.calls import Answer

    start = told[0]
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ()))
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in told[1:]))


def _problem(error: TidemillError) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    found, headers = problems.of(error)
    return found.status, (("content-type", problems.KIND), *headers.items()), problems.written(found)


async def _send(send: Send, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    own = [pair for pair in own if pair[0] != b"content-length"] + [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
