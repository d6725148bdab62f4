"""What comes before the routes: bodies of a sensible size and kind, in time; and bugs that are told as problems."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from tidemill.api.v1 import problems
from tidemill.api.v1.problems import Problem, problem
from tidemill.api.v1.sending import Sending
from tidemill.api.v1.turns import DOWNLOADS, TURN, Turn, Turns

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)
#: What is asked for here is short; but for configurations, and what dbt writes of a run.
MOST_BYTES, MOST_CONFIGURATION_BYTES = 64 * 1024, 1024 * 1024
_LARGER: Mapping[str, int] = {
    "/api/v1/configuration/plan": MOST_CONFIGURATION_BYTES,
    "/api/v1/configuration/apply": MOST_CONFIGURATION_BYTES,
    "/api/v1/dbt/after-run": 8 * 1024 * 1024,
}
#: Bytes of such bodies that a process holds at once: who sends them is not known before they are read.
_HELD_BYTES = 32 * 1024 * 1024
#: Where a file is sent: it is not read here, but by who keeps it, as it comes.
FILES = "/api/v1/events/loads"
#: Who sends a file more slowly than so many bytes in a second is not waited for.
_SLOWEST = 10_000
#: Addresses with a secret. What they are sent is not looked at.
HOOKS = "/api/v1/hooks/"
BUG = problem(500, "bug", "The server failed; its log says why.", "Please report it.")
_BUSY = problem(503, "bodies_busy", "Many large bodies are being read already.", "Send it again in a moment.")
_ODD = problem(
    422, "request_invalid", "A parameter holds NUL, or half of a character.", "What is expected: /api/v1/openapi.json"
)
#: What stands for half of a character, as UTF-8 would have it.
_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
DOWNLOADS_BUSY = problem(
    503, "downloads_busy", f"{DOWNLOADS} downloads are being read already.", "Send it again in a moment."
)
SLOW = problem(408, "body_too_slow", "The body did not come in time.", "Send it again.")
_KIND = problem(
    415, "body_not_json", "The body is no JSON, by its Content-Type.", "Send Content-Type: application/json."
)


class Room:
    """For bodies that are large. `left`: so many bytes."""

    def __init__(self, left: int) -> None:
        self.left = left


class Claim:
    """What one request has of it."""

    def __init__(self, room: Room) -> None:
        self._room, self._taken = room, 0

    def take(self, size: int) -> bool:
        """Have so much, once. Whether there is as much."""
        if not self._taken and size <= self._room.left:
            self._taken = size
            self._room.left -= size
        return bool(self._taken)

    def give(self) -> None:
        """Give it back."""
        self._room.left += self._taken
        self._taken = 0


class Guarded:
    """An ASGI application that is given whole bodies, of that many seconds at most."""

    def __init__(self, inner: Application, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds
        self._room = Room(_HELD_BYTES)
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        claim, turn = Claim(self._room), Turn(self._turns)
        sending = Sending(send, self._turns, turn, claim.give)
        scope[TURN] = turn
        try:
            giving = await self._given(scope, receive, send, claim)
            if giving is None:
                return
            async with turn:
                await self._inner(scope, giving, sending)
        except OSError:  # the sender went away
            return
        except Exception:  # noqa: BLE001 - a bug of ours, not the sender's
            if sending.is_refused:
                await _refuse(send, DOWNLOADS_BUSY)
                return
            _log.exception("%s %s", scope["method"], _shown(scope["path"]))
            if not sending.has_begun:
                await _refuse(send, BUG)
        finally:
            sending.end()
            claim.give()

    async def _given(self, scope: Scope, receive: Receive, send: Send, claim: Claim) -> Receive | None:
        """What gives the body; None, if there is nothing more to do."""
        if _has_odd_text(scope):
            await _refuse(send, _ODD)
            return None
        if is_file(scope):
            return _timely(receive, self._seconds)
        try:
            async with asyncio.timeout(self._seconds):
                body = await _read(scope, receive, claim)
        except TimeoutError:
            body = SLOW
        if isinstance(body, Problem):
            await _refuse(send, body)
        return _giving(body, receive) if isinstance(body, bytes) else None


def _has_odd_text(scope: Scope) -> bool:
    """Whether a parameter holds what is no text, and fits into no database: NUL, or half of a character."""
    query = urllib.parse.unquote_to_bytes(scope.get("query_string", b"").replace(b"+", b" "))
    return "\0" in scope["path"] or b"\0" in query or bool(_HALF.search(query))


def is_file(scope: Scope) -> bool:
    """Whether a file is sent, of whatever size and kind."""
    return bool(scope["path"] == FILES and scope["method"] == "POST")


def _timely(receive: Receive, seconds: float) -> Receive:
    """Gives a body as it comes. Raises TimeoutError if it comes too slowly: the next part of it, or all so far."""
    began, number, more = time.monotonic(), 0, True

    async def giving() -> Message:
        nonlocal number, more
        if not more:
            return await receive()
        async with asyncio.timeout(seconds):
            message = await receive()
        number, more = number + len(message.get("body", b"")), message.get("more_body", False)
        if more and time.monotonic() - began > seconds + number / _SLOWEST:
            raise TimeoutError
        return message

    return giving


async def _read(scope: Scope, receive: Receive, claim: Claim) -> bytes | Problem | None:
    """The body; a problem, if it is none that is taken; None, if the sender is gone."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    most = _LARGER.get(scope["path"], MOST_BYTES)
    said = headers.get(b"content-length", b"0")
    if said.isdigit() and int(said) > most:
        return _large(most)
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            return _large(most)
        if len(body) > MOST_BYTES and not claim.take(most):
            return _BUSY
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if body and kind != b"application/json" and not scope["path"].startswith(HOOKS):
        return _KIND
    return bytes(body)


def _large(most: int) -> Problem:
    return problem(413, "body_too_large", f"The body is larger than {most:,} bytes.", "Send less.")


def _shown(path: str) -> str:
    """A path without what is secret of it."""
    return f"{HOOKS}…" if path.startswith(HOOKS) else path


def _giving(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read, and then what else comes."""
    given = False

    async def giving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return giving


async def _refuse(send: Send, found: Problem) -> None:
    body = problems.written(found)
    headers = [(b"content-type", problems.KIND.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(b"retry-after", b"5")] if found.status == 503 else []
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
