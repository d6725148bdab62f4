"""A PostgreSQL that lets us in and then says nothing."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tidemill.destinations.port import Outlet
from tidemill.destinations.postgresql import client as sessions
from tidemill.destinations.postgresql.config import PostgresqlSettings
from tidemill.destinations.postgresql.statements import Shape, Verb
from tidemill.errors import UnavailableError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard

#: What a server says when somebody is in ("Message Formats": AuthenticationOk, BackendKeyData, ReadyForQuery).
_WELCOME = b"".join(
    kind + struct.pack("!I", len(body) + 4) + body
    for kind, body in (
        (b"R", struct.pack("!I", 0)),
        (b"S", b"server_version\x0018.0\0"),
        (b"S", b"client_encoding\0UTF8\0"),
        (b"S", b"standard_conforming_strings\0on\0"),
        (b"K", struct.pack("!II", 1, 2)),
        (b"Z", b"I"),
    )
)


def _welcome(session: socket.socket) -> None:
    with session, contextlib.suppress(OSError):
        session.recv(65_536)
        session.sendall(_WELCOME)
        while session.recv(65_536):  # it reads all that comes, and never answers
            pass


@pytest.fixture
def port() -> Iterator[int]:
    """Where it listens."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with listener, contextlib.suppress(OSError):
            while True:
                threading.Thread(target=_welcome, args=[listener.accept()[0]], daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield listener.getsockname()[1]
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    accepting.join()


def test_it_is_not_waited_for_for_ever(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "TEST_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "WRITE_SECONDS", 0.2)
    given: dict[str, Any] = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "password": "p"}
    settings = PostgresqlSettings(**given, tls="disable")
    http = Http(Guard(["127.0.0.1"]))
    with contextlib.closing(http), sessions.PostgresqlClient.open(settings, Outlet(http, time.sleep)) as client:
        shape = Shape(Verb.UPSERT, "people", ("id",), ("id",))
        for ask in (client.test, lambda: client.write(shape, b"[]", list)):
            with pytest.raises(UnavailableError) as caught:
                ask()
            assert caught.value.code == "server_timeout"
