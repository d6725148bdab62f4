"""A server of this machine that behaves as the API of a destination does: each destination's tests bring one."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import pytest


@dataclasses.dataclass
class Asked:
    """A request. `lists`: of its query, where a name may be there several times."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    lists: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclasses.dataclass
class Reply:
    """An answer. `cut`: the connection ends without one; `after`: what is asked is done all the same."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cut: bool = False
    after: bool = False


class Tool(abc.ABC):
    """What a destination delivers to. `faults`: what happens to the next requests that deliver something, instead of an
    answer (None: it is answered); those that do not speak HTTP do what comes closest.

    `names_rows`: whether it says which row of a call it refuses. `tells_when`: whether it says when to come again.
    """

    destination: ClassVar[str]
    names_rows: ClassVar[bool] = True
    tells_when: ClassVar[bool] = True

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Reply | None] = []
        self._lock = threading.Lock()

    @classmethod
    def of(cls, request: pytest.FixtureRequest) -> Self:  # noqa: ARG003 - for those that need what fixtures give
        """A new one, for a test."""
        return cls()

    @abc.abstractmethod
    def close(self) -> None:
        """End."""

    @abc.abstractmethod
    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """Those that lead here; or such whose credential is refused."""

    @abc.abstractmethod
    def fields(self, action: str, number: int) -> dict[str, Any]:
        """What a mapping gave for row of that number, which the API takes."""

    @abc.abstractmethod
    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """The same for a row that passes all checks of ours, and that the API refuses. None: it refuses none."""

    @abc.abstractmethod
    def taken(self, action: str) -> Sequence[Any]:
        """What it has taken, in the terms of `mark`; what came again with an id that it knows is there once."""

    @abc.abstractmethod
    def mark(self, action: str, number: int) -> Any:
        """By what the row of that number is known among those that were taken."""

    def keeps_ids(self, action: str) -> bool:  # noqa: ARG002 - for those that do not
        """Whether it takes a row that is sent again for the one that it has. If not, one whose answer was lost may be
        there twice."""
        return True

    def forgets(self, action: str) -> bool:  # noqa: ARG002 - for those that do
        """Whether a row that is deleted is gone from what it has taken."""
        return False

    def rows_of(self, asked: Asked) -> int | None:  # noqa: ARG002 - for those that tell
        """How many rows a request carries; None: none, or it is not told."""
        return None


class Api(Tool):
    """See the module: one that speaks HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()

    @abc.abstractmethod
    def handle(self, asked: Asked) -> Reply:
        """Answer."""

    def delivers(self, asked: Asked) -> bool:
        """Whether a request delivers rows: faults happen to those."""
        return asked.method != "GET"

    def _answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            fault = self.faults.pop(0) if self.faults and self.delivers(asked) else None
            if fault is not None and not fault.after:
                return fault
            reply = self.handle(asked)
            return fault or reply

    def _handler(api) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 - beside the handler's own self
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer in two packets would wait for 40 ms

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = urllib.parse.urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = dict(urllib.parse.parse_qsl(found.query))
                reply = api._answer(
                    Asked(self.command, found.path, query, headers, body, urllib.parse.parse_qs(found.query))
                )
                if reply.cut:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                said = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                with contextlib.suppress(ConnectionError):  # who asked is dead
                    self.end_headers()
                    self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - named by the library

            def log_message(self, *_: Any) -> None:
                return

        return Handler
