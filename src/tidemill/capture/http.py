"""Requests and answers: as little as it takes between ASGI and those who read bodies.

Each request costs what is done for it, and most hold one event: so nothing is made that is not used.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: An extension in the scope of a request that comes by one connection too many.
OVERLOADED = "tidemill.overloaded"
#: In the scope of a request: the server is about to end. Who answers without an end is to end now.
STOPPING = "tidemill.stopping"
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"


@dataclasses.dataclass(slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes = b""
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def later(self, seconds: int) -> Answer:
        """The same, with a hint when to come again."""
        return dataclasses.replace(self, headers=(*self.headers, (b"retry-after", b"%d" % seconds)))


class Request:
    """One request. Names of headers are in lower case."""

    __slots__ = ("headers", "method", "path", "query", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope, self.receive = scope, receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given: bytes = scope.get("query_string", b"")
        self.query: dict[str, str] = dict(urllib.parse.parse_qsl(given.decode("latin-1"))) if given else {}

    @property
    def address(self) -> str | None:
        """Who sent it: an IP address."""
        client = self.scope.get("client")
        return str(client[0]) if client else None


async def respond(send: Send, request: Request, answer: Answer, *, for_pages: bool = False) -> None:
    """Send an answer. `for_pages`: a page of whatever origin may read it, as SDKs in browsers need it."""
    headers = [(b"content-type", answer.kind), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    origin = request.headers.get(b"origin") if for_pages else None
    if origin is not None:
        headers += [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"origin"),
        ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})


def preflight(request: Request) -> Answer:
    """The answer to a browser that asks whether a page may send what it wants to."""
    asked = request.headers.get(b"access-control-request-headers", b"content-type")
    return Answer(
        200,
        b"",
        TEXT,
        (
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", b"86400"),
        ),
    )
