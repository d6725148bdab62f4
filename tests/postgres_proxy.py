"""Between PostgreSQL and who asks it: answers to commits of the event store can be lost on the way."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tidemill.settings import Settings
from tidemill.store.postgres import Postgres

_COMMIT, _COMMITTED, _SNAPSHOT = b"COMMIT", b"COMMIT\x00", b"ducklake_snapshot"


class PostgresProxy:
    """Passes on all that is said, unless `lose` says otherwise."""

    def __init__(self, server: Postgres) -> None:
        keywords = psycopg.conninfo.conninfo_to_dict(server.dsn)
        self._server = str(Path(str(keywords["host"])) / f".s.PGSQL.{keywords['port']}")
        self._database = keywords["dbname"]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._losing: str | None = None
        self.lost = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """Of the database, by this way."""
        return f"postgresql://postgres@127.0.0.1:{self._listener.getsockname()[1]}/{self._database}?sslmode=disable"

    def lose(self, what: str | None) -> None:
        """At the next commit of the event store the connection ends: its ``answer`` is lost, or the ``request`` is."""
        self._losing = what

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                _Way(self, client, server)

    def _ends(self, what: str) -> bool:
        if self._losing != what:
            return False
        self._losing = None
        self.lost += 1
        return True


class _Way:
    """One connection."""

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._writes = False  # a commit of the event store will follow
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with self._client, self._server:
            back = threading.Thread(target=self._pass, args=(self._server, self._client, self._answer), daemon=True)
            back.start()
            self._pass(self._client, self._server, self._request)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, ends: Callable[[bytes], bool]) -> None:
        with contextlib.suppress(OSError):
            while (said := source.recv(1 << 20)) and not ends(said):
                target.sendall(said)
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _request(self, said: bytes) -> bool:
        self._writes = self._writes or (b"INSERT" in said and _SNAPSHOT in said)
        return self._writes and _COMMIT in said and self._proxy._ends("request")

    def _answer(self, said: bytes) -> bool:
        if not (self._writes and _COMMITTED in said):
            return False
        self._writes = False
        return self._proxy._ends("answer")


def proxied(server: Postgres, home: Path) -> tuple[PostgresProxy, Settings]:
    """A proxy, and the settings of an installation that uses it."""
    proxy = PostgresProxy(server)
    return proxy, Settings(home=home, database_url=proxy.url)
