"""Locks that all processes of an installation see: PostgreSQL advisory locks, granted first come, first served."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from tidemill.store.postgres import Postgres


def key(name: str) -> int:
    """The 64-bit key of a lock by that name."""
    return int.from_bytes(hashlib.blake2b(f"tidemill:{name}".encode(), digest_size=8).digest(), signed=True)


@contextlib.contextmanager
def hold(postgres: Postgres, name: str) -> Iterator[None]:
    """Hold the lock for the time of the block. It is gone with the process, however that ends."""
    import psycopg  # 40 ms

    with psycopg.connect(postgres.dsn, autocommit=True, keepalives_idle=30) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [key(name)])
        yield


class Locks:
    """Named locks over one database; a connection is kept for each thread that uses them often."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def __call__(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of that name for the time of the block."""
        return hold(self._postgres, name)
