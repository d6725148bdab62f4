"""HTTP as uvicorn speaks it, with bounds on what comes before a request: it waits for ever, and takes any number of
headers of any size."""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidemill.capture.deadlines import Deadline, Deadlines
from tidemill.capture.http import OVERLOADED, STOPPING

HEAD_SECONDS = 15.0
HEAD_BYTES = 64 * 1024
#: Beside each byte of a body there may be so many, less one: of chunks of one byte.
_CHUNKED = 9
#: Who takes nothing of an answer for so long does not read it, and is not waited for.
UNREAD_SECONDS = 30.0
#: Requests that wait for the answers before them, on one connection.
PIPELINED = 1_000
_FRAMING = {b"content-length", b"transfer-encoding"}
_HEADS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines] = weakref.WeakKeyDictionary()
_UNREAD: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines] = weakref.WeakKeyDictionary()


class _Joined:
    """The transport of one answer, which is sent together with its head: by itself each costs a call of the system."""

    def __init__(self, transport: Any, *, alone: bool) -> None:
        """`alone`: nothing follows the head."""
        self._transport, self._alone = transport, alone
        self._head: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """As the transport's own; but the head waits for what comes next."""
        if self._head is not None:
            self._transport.write(self._head + data)
            self._head = b""
        elif self._alone or data.startswith(b"HTTP/1.1 100"):
            self._transport.write(data)
        else:
            self._head = data


class Protocol(HttpToolsProtocol):
    """One connection, which is ended if the line and the headers of a request take too long, or are too large."""

    _head: Deadline | None = None
    _unread: Deadline | None = None
    #: The request that is answered now: others may have come behind it.
    _answered: RequestResponseCycle | None = None
    #: Of an answer that nobody reads: bytes that were left when it was looked at last.
    _left = 0
    #: Of the request that comes now: bytes in all, but for those of the read in which it begins; and those of its body.
    _all_bytes = _body_bytes = 0
    _begins = _in_head = _is_again = False
    _data = b""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._deadlines = _HEADS.setdefault(self.loop, Deadlines(HEAD_SECONDS))
        # uvicorn's own answer does not say when to come again, nor may a page read it.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        """The first request is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_again:
            return
        super().on_message_begin()
        self._begins = self._in_head = True
        self._all_bytes = self._body_bytes = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """See HttpToolsProtocol."""
        if not self._is_again:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of what may follow a body there is nothing that we need."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its body is the reader's business."""
        if self._is_again:
            return
        self._in_head = False
        self._have_head()
        if self._most is not None and len(self.connections) > self._most:
            self.scope["extensions"] = {OVERLOADED: {}}
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is before:  # it becomes a websocket
            return
        if len(self.pipeline) > PIPELINED:
            self._end()
        # Without a way back to the cycle: Python would have to look for each request, to free it.
        alone = self.scope["method"] == "HEAD"
        self.cycle.transport = _Joined(self.cycle.transport, alone=alone)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """See HttpToolsProtocol."""
        self._body_bytes += len(body)
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        """Count what is not body: a head, what tells the sizes of chunks, what follows, blanks."""
        self._data, self._begins = data, False
        super().data_received(data)
        if not self._begins:
            self._all_bytes += len(data)
            if self._all_bytes - _CHUNKED * self._body_bytes > HEAD_BYTES:
                self._end()
        if self._head is None and self.cycle is not None and self.cycle.response_complete:
            self._await_head()  # more of a body that nobody wants, or blanks before the next request

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has sent all may wait for the answer still; who has not has gone away."""
        waits = self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        if waits:
            self.cycle.keep_alive = False
        return waits

    def _unsupported_upgrade_warning(self) -> None:
        """Called for a request that would have another protocol: it is taken as it is ("HTTP Semantics", 7.8).

        The parser has left out its body, and reads no more. Another one reads on, which is told where it is.
        """
        error = sys.exc_info()[1]
        assert isinstance(error, HttpParserUpgrade)  # noqa: S101 - it is called where that is caught
        rest = self._data[error.args[0] :]
        self.parser = HttpRequestParser(self)
        framing = [name + b": " + value + b"\r\n" for name, value in self.headers if name in _FRAMING]
        if framing:
            self.cycle.more_body, self._is_again = True, True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
            self._is_again = False
        if rest:
            super().data_received(rest)

    def shutdown(self) -> None:
        """The server is about to end: an answer that has no end of its own is told."""
        if self.cycle is not None:
            self.cycle.scope[STOPPING] = True  # type: ignore[literal-required]
        super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """More is to be sent than is read: from now on it is to become less."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """It was read."""
        self._is_read()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """No other request has come for long. What is not read by now is not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _await_reader(self) -> None:
        self._is_read()
        self._left = self.transport.get_write_buffer_size()
        self._unread = _UNREAD.setdefault(self.loop, Deadlines(UNREAD_SECONDS)).add(self._look_at_reader)

    def _look_at_reader(self) -> None:
        if self.transport.get_write_buffer_size() < self._left:
            self._await_reader()  # slowly, but it is read
        else:
            self.transport.abort()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.met()
            self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._have_head()
        self._is_read()
        self.pipeline.clear()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True  # uvicorn tells the last one of those that came
            self._answered.message_event.set()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._have_head()
        self._head = self._deadlines.add(self._end)

    def _have_head(self) -> None:
        if self._head is not None:
            self._head.met()
            self._head = None

    def _end(self) -> None:
        self._have_head()
        self.transport.close()
