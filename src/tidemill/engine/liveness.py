"""Who is alive: each worker holds a PostgreSQL advisory lock for as long as it lives.

The lock belongs to a database session, so it is gone the moment the process is, however that ends, and nobody has to
wait for a heartbeat to be missed. A frozen process keeps it and is not robbed. TCP keepalive ends the session of a
machine that vanished. A worker that lost its session must not begin another step: `assert_alive` says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator

import psycopg

from tidemill.errors import UnavailableError

#: The code of the error of a worker that lost its session.
LOST = "worker_lost"
_SCHEMA = "tidemill_engine"
_TABLE = f"{_SCHEMA}.workers"
_CREATE = f"""
    CREATE SCHEMA IF NOT EXISTS {_SCHEMA};
    CREATE TABLE IF NOT EXISTS {_TABLE} (
        id text PRIMARY KEY, host text NOT NULL, pid bigint NOT NULL, started_at timestamptz NOT NULL DEFAULT now());
"""


def _key(worker: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"worker:{worker}".encode(), digest_size=8).digest(), signed=True)


class Liveness:
    """This process as a worker, and its knowledge of the others."""

    def __init__(self, dsn: str) -> None:
        self.worker = uuid.uuid4().hex
        self._dsn = dsn
        self._session: psycopg.Connection[tuple[object, ...]] | None = None
        self._guard = threading.Lock()

    def enter(self) -> None:
        """Be known as alive from now on."""
        session = self._connect()
        with session.transaction():
            # Two processes that begin at once would both create the schema, and one would fail.
            session.execute("SELECT pg_advisory_xact_lock(%s)", [_key("create")])
            session.execute(_CREATE)
        session.execute("SELECT pg_advisory_lock(%s)", [_key(self.worker)])
        session.execute(
            f"INSERT INTO {_TABLE} (id, host, pid) VALUES (%s, %s, %s)",
            [self.worker, socket.gethostname(), os.getpid()],
        )
        self._session = session

    def leave(self) -> None:
        """Be known as gone: forgotten, unless unfinished workflows are left for others to take over at once."""
        if self._session is not None:
            with contextlib.suppress(psycopg.Error):
                self._session.execute(
                    f"DELETE FROM {_TABLE} w WHERE id = %s AND NOT EXISTS "
                    "(SELECT 1 FROM dbos.workflow_status s WHERE s.executor_id = w.id AND s.status = 'PENDING')",
                    [self.worker],
                )
                self._session.close()
            self._session = None

    def assert_alive(self) -> None:
        """Raise UnavailableError if this worker lost its session: another may have taken its work over."""
        with self._guard:
            try:
                if self._session is None:
                    raise psycopg.OperationalError("the session is closed")
                self._session.execute("SELECT 1")
            except psycopg.Error as error:
                raise UnavailableError(
                    LOST,
                    "The connection to the database was lost; another process may take over this work.",
                    hint="Run the command again: it goes on where it stopped.",
                    raw=str(error),
                ) from None

    def alive(self, worker: str) -> bool:
        """Whether that worker lives."""
        if worker == self.worker:
            return True
        with self._connect() as session:
            found = session.execute("SELECT pg_try_advisory_lock_shared(%s)", [_key(worker)]).fetchone()
        return not (found and found[0])

    @contextlib.contextmanager
    def claim_dead(self) -> Iterator[list[str]]:
        """The dead workers, each given to one process only. They are forgotten when the block ends well."""
        with self._connect() as session:
            others = session.execute(f"SELECT id FROM {_TABLE} WHERE id <> %s", [self.worker]).fetchall()
            dead = []
            for (other,) in others:
                got = session.execute("SELECT pg_try_advisory_lock(%s)", [_key(str(other))]).fetchone()
                still = session.execute(f"SELECT 1 FROM {_TABLE} WHERE id = %s", [other]).fetchone()
                if got and got[0] and still:
                    dead.append(str(other))
            yield dead
            session.execute(f"DELETE FROM {_TABLE} WHERE id = ANY(%s)", [dead])

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self._dsn, autocommit=True, keepalives_idle=15, keepalives_interval=5, keepalives_count=3
        )
