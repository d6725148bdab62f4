"""Connections of the web app: who sends nothing, or too much, is not waited for; pages and websockets go on."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from tidemill.capture import protocol as bounds
from tidemill.capture.deadlines import Deadlines
from tidemill.capture.http import OVERLOADED
from tidemill.web.protocol import Protocol, Quiet

GET = b"GET / HTTP/1.1\r\nhost: x\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Says "ok", or what it hears over a websocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    status = 503 if OVERLOADED in scope.get("extensions", ()) else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.contextmanager
def listening(**more: Any) -> Iterator[int]:
    """A server of that, on a port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_app, http=Protocol, ws="websockets-sansio", lifespan="off", log_level="error", **more)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=[[listener]])
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def until_the_end(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65_536):
            found += part
    return found


def frame(text: bytes) -> bytes:
    """A websocket's frame, as a browser sends it: masked, with zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def time_passes() -> None:
    """As if all deadlines of the server were over."""
    loop = next(loop for loop in bounds._HEADS if loop.is_running())
    for _ in range(10):
        loop.call_soon_threadsafe(bounds._HEADS[loop].end_first)


def test_headers_without_end_and_silence_end_a_connection_but_not_a_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 600.0)
    with listening() as port, connected(port) as page, connected(port) as silent, connected(port) as large:
        key = base64.b64encode(b"0" * 16)
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: "
        page.sendall(GET + b"\r\n")
        assert page.recv(65_536).endswith(b"ok")
        page.sendall(GET + upgrade + key + b"\r\n\r\n")
        assert page.recv(65_536).startswith(b"HTTP/1.1 101")
        with contextlib.suppress(ConnectionError):
            large.sendall(GET)
            for _ in range(2_000):
                large.sendall(b"x-more: %s\r\n" % (b"x" * 1_000))
        assert until_the_end(large) == b""
        silent.sendall(b"GET /")
        time_passes()
        assert until_the_end(silent) == b""
        page.sendall(frame(b"still there"))
        assert page.recv(100)[2:] == b"still there"


def test_who_has_waited_the_longest_makes_room_for_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 600.0)
    with listening(limit_concurrency=5) as port, contextlib.ExitStack() as opened:
        idle = [opened.enter_context(connected(port)) for _ in range(5)]
        for _ in range(3):
            with connected(port) as page:
                page.sendall(GET + b"connection: close\r\n\r\n")
                assert until_the_end(page).startswith(b"HTTP/1.1 200")
        assert idle[0].recv(1) == b"", "it was ended"


def test_the_first_of_some_deadlines_ends_before_its_time() -> None:
    async def whole() -> list[str]:
        late: list[str] = []
        deadlines = Deadlines(600)
        deadlines.end_first()
        first = deadlines.add(lambda: late.append("first"))
        deadlines.add(lambda: late.append("second"))
        deadlines.end_first()
        assert first.passed
        return late

    assert asyncio.run(whole()) == ["first"]


@pytest.mark.parametrize(
    ("error", "written"),
    [
        (RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"), False),
        (RuntimeError("something else"), True),
        (None, True),
    ],
)
def test_that_somebody_went_away_is_not_written_as_a_fault(error: Exception | None, written: bool) -> None:
    found: Any = None
    if error is not None:
        try:
            raise error
        except RuntimeError:
            found = sys.exc_info()
    assert Quiet().filter(logging.LogRecord("uvicorn.error", 40, "", 0, "failed", (), found)) is written
