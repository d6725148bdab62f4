"""Connections that do not send a request, or send too much of one, are ended; others go on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn

from tidemill.api import serve
from tidemill.capture import bodies, protocol
from tidemill.capture.deadlines import Deadlines
from tidemill.capture.http import Answer, Receive, Request, Scope, Send, respond
from tidemill.capture.metrics import Metrics
from tidemill.capture.sdks import Sdks
from tidemill.capture.server import Server

if TYPE_CHECKING:
    from tidemill.capture.intake import Intake


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of bytes of the body."""
    request = Request(scope, receive)
    with bodies.Room(10_000_000).share() as share:
        try:
            answer = Answer(200, b"%d" % len(await bodies.read(request, share, 1_000_000, Deadlines(60))))
        except bodies.TooLarge:
            answer = Answer(413)
        except bodies.Gone:
            return
    await respond(send, request, answer, for_pages=True)


@contextlib.contextmanager
def listening(application: Any = _echo, **more: Any) -> Iterator[int]:
    listener = serve.bind("127.0.0.1", 0)
    config = uvicorn.Config(application, http=protocol.Protocol, lifespan="off", log_level="error", ws="none", **more)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=[[listener]])
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def answered(port: int, sent: bytes) -> bytes:
    """All that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        found = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65_536):
                found += part
        return found


POST = b"POST /e HTTP/1.1\r\nhost: x\r\n"


def test_who_does_not_send_a_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    with listening() as port:
        assert answered(port, b"") == b""
        assert answered(port, b"POST /e HTTP/1.1\r\nhost: x\r\nx-slow: ") == b""
        first = POST + b"content-length: 2\r\n\r\n{}"
        assert answered(port, first + b"POST /e").startswith(b"HTTP/1.1 200")  # and then it ends


def test_headers_without_end_are_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60.0)
    with listening() as port:
        assert answered(port, POST + b"x-a: " + b"y" * 10_000_000) == b""
        assert answered(port, POST + b"".join(b"x-%d: y\r\n" % number for number in range(500_000))) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"content-length: 5\r\n\r\n{}ABCGET / HTTP/9.9\r\n\r\n",  # longer than it says
        b"content-length: -1\r\n\r\n{}",
        b"content-length: 99999999999999999999999\r\n\r\n{}",
        b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}",
    ],
)
def test_a_body_that_lies_about_its_length_ends_its_connection_and_no_other(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)
    good = POST + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    with listening() as port:
        found = answered(port, POST + sent)
        assert b"HTTP/1.1 500" not in found
        assert answered(port, good).endswith(b"\r\n\r\n2")


def test_what_follows_a_body_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    with listening() as port:
        assert answered(port, chunked + b"a: b\r\nhost: evil\r\n" * 3 + b"\r\n").startswith(b"HTTP/1.1 200")


def test_nobody_stays_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    first = POST + b"content-length: 2\r\n\r\n{}"
    large = POST + b"content-length: 9000000\r\n\r\n{"
    with listening() as port:
        assert answered(port, first + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert answered(port, large).startswith(b"HTTP/1.1 413")


def test_one_connection_too_many_is_told_to_come_again() -> None:
    """As its API says such things, and so that a page may read it; who looks after the server is answered."""
    never = cast("Intake", None)  # nothing is asked of it
    server = Server(lambda: [Sdks(never)], lambda: None, Metrics(), None)
    server.open()
    with listening(server, limit_concurrency=1) as port, socket.create_connection(("127.0.0.1", port)):
        close = b"connection: close\r\ncontent-length: 0\r\n\r\n"
        asked = b"POST /2/httpapi HTTP/1.1\r\nhost: x\r\norigin: http://page\r\n" + close
        head, _, body = answered(port, asked).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in head
        assert b"access-control-allow-origin: http://page" in head
        assert b"too many connections" in body
        assert answered(port, b"GET /health HTTP/1.1\r\nhost: x\r\n" + close).startswith(b"HTTP/1.1 200 ")


def test_an_answer_is_whole_whatever_was_asked() -> None:
    """Its head and its body are sent together; to HEAD there is no body, and some wait until they may send theirs."""
    close = b"host: x\r\nconnection: close\r\n"
    with listening() as port:
        head = answered(port, b"HEAD /e HTTP/1.1\r\n" + close + b"content-length: 0\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert head.endswith(b"content-length: 1\r\nconnection: close\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(POST + b"connection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"{}")
            assert connection.makefile("rb").read().endswith(b"\r\n\r\n2")
        both = answered(port, (POST + b"content-length: 2\r\n\r\n{}") + POST + close + b"content-length: 3\r\n\r\n{ }")
        assert [part[-1:] for part in both.split(b"HTTP/1.1 200")[1:]] == [b"2", b"3"]


@pytest.mark.parametrize("protocol_name", [b"h2c", b"websocket", b"x"])
@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_who_would_speak_another_protocol_is_answered_in_this_one(protocol_name: bytes, pieces: int) -> None:
    """As some clients ask with each first request (HTTP Semantics, 7.8). Their bodies are read, however they come."""
    upgrade = b"connection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\nupgrade: " + protocol_name + b"\r\n"
    sized = POST + upgrade + b"content-length: 12\r\n\r\n" + b"x" * 12
    chunked = POST + upgrade + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    empty = b"GET /e HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n"
    last = POST + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    with listening() as port, socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for sent, body in ((sized, b"12"), (chunked, b"7"), (empty, b"0"), (sized, b"12"), (last, b"2")):
            step = max(1, len(sent) // pieces)
            for start in range(0, len(sent), step):
                connection.sendall(sent[start : start + step])
            answer = b""
            while not answer.endswith(b"\r\n\r\n" + body):
                part = connection.recv(1000)
                assert part, answer
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_who_sends_no_more_waits_for_the_answer_still() -> None:
    with listening() as port:
        for sent in (
            POST + b"content-length: 2\r\n\r\n{}",
            POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                assert connection.makefile("rb").read().endswith(b"\r\n\r\n2")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(POST + b"content-length: 3\r\n\r\n{}")
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").read() == b""


@pytest.mark.parametrize("size", [0, 300, 3000])
def test_many_requests_at_once_are_all_answered(size: int) -> None:
    one = POST + b"content-length: %d\r\n\r\n" % size + b"x" * size
    last = POST + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    with listening() as port:
        sending = one * 700 + last
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            thread = threading.Thread(target=connection.sendall, args=[sending])
            thread.start()
            found = connection.makefile("rb").read()
            thread.join()
    assert found.count(b"HTTP/1.1 200 ") == 701


@pytest.mark.parametrize("size", [1_000_001, 30_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_who_sends_too_much_is_told_so_however_much_it_is(size: int, is_chunked: bool) -> None:
    """A connection that ends meanwhile would look like one that broke: it would be sent again."""
    framing = b"transfer-encoding: chunked\r\n\r\n%x\r\n" % size if is_chunked else b"content-length: %d\r\n\r\n" % size
    with listening() as port, socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(POST + framing)
        connection.sendall(b"x" * size)
        if is_chunked:
            connection.sendall(b"\r\n0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_what_is_no_body_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a trailer without end, nor what tells the sizes of chunks."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60.0)
    begun = POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
    with listening() as port:
        assert answered(port, begun + b"0\r\nx: " + b"y" * 10_000_000) == b""
        assert answered(port, begun + b"1;" + b"e" * 10_000_000) == b""
        tiny = begun + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n" + POST + b"connection: close\r\ncontent-length: 0\r\n\r\n"
        assert answered(port, tiny).count(b"HTTP/1.1 200 ") == 2


def test_a_body_that_breaks_off_is_no_request() -> None:
    with listening() as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(POST + b"content-length: 100\r\n\r\n{")
        good = POST + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
        assert answered(port, good).endswith(b"\r\n\r\n2")


def test_an_address_that_is_taken_is_said_so() -> None:
    from tidemill.errors import ConflictError

    with listening() as port, pytest.raises(ConflictError, match=str(port)):
        serve.bind("127.0.0.1", port)


async def _large(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers with more than a connection holds by itself; `went_on`: it need not wait any more."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(4):
        await send({"type": "http.response.body", "body": b"x" * 4_000_000, "more_body": True})
    scope["app_went_on"].set()
    await send({"type": "http.response.body", "body": b""})


def test_who_does_not_read_an_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.2)
    went_on = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await _large({**scope, "app_went_on": went_on}, receive, send)

    get = b"GET /e HTTP/1.1\r\nhost: x\r\n"
    with listening(application) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(get + b"\r\n" + get + b"\r\n")
            assert went_on.wait(60)
            found = 0
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(1_000_000):
                    found += len(part)
            assert found < 16_000_000
        assert len(answered(port, get + b"connection: close\r\n\r\n")) > 16_000_000  # who reads has all


def test_requests_on_one_connection_that_wait_for_others_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PIPELINED", 3)
    one = POST + b"content-length: 2\r\n\r\n{}"
    last = POST + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    with listening() as port:
        assert answered(port, one * 3 + last).count(b"HTTP/1.1 200") == 4
        assert answered(port, one * 50 + last).count(b"HTTP/1.1 200") < 50
