"""A PostgreSQL, behind a way that asks for a password and can fail at commits."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from tests.contract.api import Asked, Reply, Tool
from tests.postgres_fixture import named

from tidemill.store.postgres import Postgres

PASSWORD = "s3cr3t-of-the-role"
_TABLES = """
CREATE TABLE people (id bigint PRIMARY KEY, email text, plan text CHECK (plan <> 'none that there is'));
CREATE TABLE moves (move uuid UNIQUE NOT NULL, email text, plan text CHECK (plan <> 'none that there is'));
"""
_TLS = struct.pack("!II", 8, 80877103)  #: asks for TLS
_WROTE = re.compile(rb"INSERT INTO|DELETE FROM|UPDATE ")
#: By the status of a fault: how PostgreSQL would say such a thing.
_SAID = {429: ("40001", "could not serialize access"), 503: ("57P03", "the database system is shutting down")}


class PostgresqlTool(Tool):
    """See the module. The table of the one action has a key, that of the other a column for identities."""

    destination = "postgresql"
    names_rows = False
    tells_when = False

    def __init__(self, server: Postgres) -> None:
        super().__init__()
        self.tls: ssl.SSLContext | None = None
        self._name = f"contract_{id(self)}"
        self._server = server
        with psycopg.connect(server.dsn, autocommit=True) as session:
            session.execute(f"CREATE DATABASE {self._name}")
        self.dsn = named(server, self._name).dsn
        with psycopg.connect(self.dsn) as session:
            session.execute(_TABLES)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @classmethod
    def of(cls, request: pytest.FixtureRequest) -> Self:
        """See Tool."""
        return cls(request.getfixturevalue("postgres_server"))

    def close(self) -> None:
        """See Tool."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        with psycopg.connect(self._server.dsn, autocommit=True) as session:
            session.execute(f"DROP DATABASE {self._name} WITH (FORCE)")

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Tool."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "database": self._name,
            "user": "postgres",
            "password": PASSWORD if good else "wrong-password",
            "tls": "disable",
        }

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Tool."""
        if action == "insert":
            return {"table": "moves", "identity": "move", "columns": {"email": f"p{number}@example.com", "plan": "pro"}}
        return {"table": "people", "key": {"id": number}, "columns": {"email": f"p{number}@example.com", "plan": None}}

    def unwelcome(self, action: str, number: int) -> dict[str, Any]:
        """See Tool: it is against a rule of the table."""
        found = self.fields(action, number)
        return {**found, "columns": {**found["columns"], "plan": "none that there is"}}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Tool."""
        return f"p{number}@example.com"

    def taken(self, action: str) -> Sequence[Any]:
        """See Tool."""
        table = "moves" if action == "insert" else "people"
        with psycopg.connect(self.dsn) as session:
            return [row[0] for row in session.execute(f"SELECT email FROM {table}").fetchall()]

    def forgets(self, action: str) -> bool:
        """See Tool."""
        return action == "upsert"

    def noted(self, written: bytes) -> None:
        """Remember what a session wrote."""
        self.asked.append(Asked("INSERT", "", {}, {}, written))

    def fault(self) -> Reply | None:
        """What happens at this commit, if it is not simply made."""
        with self._lock:
            return self.faults.pop(0) if self.faults else None

    def _accept(self) -> None:
        keywords = psycopg.conninfo.conninfo_to_dict(self.dsn)
        path = str(Path(str(keywords["host"])) / f".s.PGSQL.{keywords['port']}")
        with self._listener, contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=_Way(self, client, path).run, daemon=True).start()


class _Way:
    """One session. Requests are passed on one by one, each with its answer, so that answers can be lost or changed."""

    def __init__(self, tool: PostgresqlTool, client: socket.socket, path: str) -> None:
        self._tool, self._path = tool, path
        self._client = client
        self._from_client = client.makefile("rb")

    def run(self) -> None:
        """Serve it to its end."""
        try:
            with contextlib.suppress(OSError, EOFError):
                self._greet()
        finally:
            self._client.close()

    def _greet(self) -> None:
        startup = _startup(self._from_client)
        if startup == _TLS:
            self._secured()
            startup = _startup(self._from_client)
        self._client.sendall(b"R" + struct.pack("!II", 8, 3))  # a password, please
        if _message(self._from_client)[5:].rstrip(b"\0").decode() != PASSWORD:
            self._client.sendall(_error("28P01", 'password authentication failed for user "postgres"'))
            return
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self._path)
            server.sendall(startup)
            from_server = server.makefile("rb")
            self._client.sendall(_answer(from_server))
            self._serve(server, from_server)

    def _secured(self) -> None:
        if self._tool.tls is None:
            self._client.sendall(b"N")
            return
        self._client.sendall(b"S")
        self._client = self._tool.tls.wrap_socket(self._client, server_side=True)
        self._from_client = self._client.makefile("rb")

    def _serve(self, server: socket.socket, from_server: Any) -> None:
        asked = written = b""
        while True:
            message = _message(self._from_client)
            asked += message
            if message[:1] == b"X":
                return
            if message[:1] not in b"QS":  # a request goes on
                continue
            if _WROTE.search(asked):
                written += asked
            fault = self._tool.fault() if written and asked[:1] == b"Q" and b"COMMIT" in asked else None
            if fault is not None and not fault.after:
                asked = b"Q" + struct.pack("!I", 13) + b"ROLLBACK\0"
            server.sendall(asked)
            answer = _answer(from_server)
            if b"COMMIT" in asked and written:
                self._tool.noted(written)
                written = b""
            asked = b""
            if fault is not None and fault.cut:
                return
            if fault is not None:
                answer, written = _error(*_SAID[fault.status]) + b"Z" + struct.pack("!I", 5) + b"I", b""
            self._client.sendall(answer)


def _startup(source: Any) -> bytes:
    size: bytes = source.read(4)
    if len(size) < 4:
        raise EOFError
    rest: bytes = source.read(struct.unpack("!I", size)[0] - 4)
    return size + rest


def _message(source: Any) -> bytes:
    head: bytes = source.read(5)
    if len(head) < 5:
        raise EOFError
    rest: bytes = source.read(struct.unpack("!I", head[1:])[0] - 4)
    return head + rest


def _answer(source: Any) -> bytes:
    """All that comes until the server is ready for the next request, or lets nobody in."""
    found = b""
    while True:
        try:
            message = _message(source)
        except EOFError:
            if not found:
                raise
            return found
        if message[:1] != b"R" or message[5:9] == b"\0\0\0\0":
            found += message
        if message[:1] == b"Z":
            return found


def _error(code: str, said: str) -> bytes:
    body = b"SFATAL\0VFATAL\0C" + code.encode() + b"\0M" + said.encode() + b"\0\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body
