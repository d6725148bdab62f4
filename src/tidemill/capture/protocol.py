"""HTTP as uvicorn speaks it, with bounds on what comes before a request: it waits for ever, and takes any number of
headers of any size."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidemill.capture.deadlines import Deadline, Deadlines
from tidemill.capture.http import OVERLOADED

HEAD_SECONDS = 15.0
HEAD_BYTES = 64 * 1024
_HEADS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines] = weakref.WeakKeyDictionary()


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
    _head_bytes = 0

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._deadlines = _HEADS.setdefault(self.loop, Deadlines(HEAD_SECONDS))
        # uvicorn's own answer does not say when to come again, nor may a page read it.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        """The first request is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of what may follow a body there is nothing that we need."""
        if self._head is not None:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Its body is the reader's business."""
        self._have_head()
        if self._most is not None and len(self.connections) > self._most:
            self.scope["extensions"] = {OVERLOADED: {}}
        super().on_headers_complete()
        # Without a way back to the cycle: Python would have to look for each request, to free it.
        alone = self.scope["method"] == "HEAD"
        self.cycle.transport = _Joined(self.cycle.transport, alone=alone)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Count what comes before the end of the headers."""
        super().data_received(data)
        if self._head is None and self.cycle is not None and self.cycle.response_complete:
            self._await_head()  # more of a body that nobody wants, or blanks before the next request
        if self._head is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._have_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._have_head()
        self._head_bytes = 0
        self._head = self._deadlines.add(self._end)

    def _have_head(self) -> None:
        if self._head is not None:
            self._head.met()
            self._head = None

    def _end(self) -> None:
        self._have_head()
        self.transport.close()
