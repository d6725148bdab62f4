"""Locks that all processes of an installation see: PostgreSQL advisory locks, granted first come, first served
(to those who ask to be told while they wait: in any order).

A lock belongs to a connection, so it is gone with the process, however that ends. To take one by a name that the same
thread holds already waits for ever: do not nest them.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tidemill.errors import UnavailableError
from tidemill.store.postgres import Postgres

if TYPE_CHECKING:
    import psycopg

_ASKED_EVERY_MS = 500
#: The code of the error that says that a lock was lost.
LOST = "lock_lost"


def key(name: str) -> int:
    """The 64-bit key of a lock by that name."""
    return int.from_bytes(hashlib.blake2b(f"tidemill:{name}".encode(), digest_size=8).digest(), signed=True)


class Held:
    """A lock that is held."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session

    def check(self) -> None:
        """Raise UnavailableError if the lock was lost with its connection: somebody else may hold it now."""
        with _translated():
            self._session.execute("SELECT 1")


@contextlib.contextmanager
def hold(
    postgres: Postgres, name: str, waiting: Callable[[], None] | None = None, *, shared: bool = False
) -> Iterator[Held]:
    """Hold the lock for the time of the block; ask `check` before what must not happen without it.

    `shared`: beside others who hold it so, but beside nobody who holds it alone.

    `waiting` is called now and then until the lock is there; what it raises ends the waiting.

    Raises
    ------
    UnavailableError
        The database does not answer; or, at the end of a block that went well, the lock was lost meanwhile.
    """
    with contextlib.ExitStack() as stack:
        with _translated():
            session = _connected(postgres)
            stack.callback(session.close)
            _wait(session, key(name), waiting, shared=shared)
        held = Held(session)
        yield held
        held.check()


def _connected(postgres: Postgres) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(
        postgres.dsn, autocommit=True, connect_timeout=10, keepalives_idle=30, tcp_user_timeout=60_000
    )


def _wait(
    session: psycopg.Connection[Any], number: int, waiting: Callable[[], None] | None, *, shared: bool = False
) -> None:
    from psycopg import errors

    if waiting is not None:
        session.execute(f"SET lock_timeout = {_ASKED_EVERY_MS}")
    while True:
        try:
            session.execute(f"SELECT pg_advisory_lock{'_shared' if shared else ''}(%s)", [number])
        except errors.LockNotAvailable:
            if waiting is not None:
                waiting()
        else:
            return


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise UnavailableError(
            LOST,
            "The connection to the database that held a lock was lost.",
            hint="Run the command again: it goes on where it stopped.",
            raw=str(error),
        ) from None


class Locks:
    """The locks of one database, by name. Connections are used again: one takes as long to make as a small commit."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._idle: list[psycopg.Connection[Any]] = []
        self._guard = threading.Lock()

    def __call__(
        self, name: str, *, waiting: Callable[[], None] | None = None, shared: bool = False
    ) -> contextlib.AbstractContextManager[Held]:
        """Hold the lock of that name for the time of the block. See `hold`."""
        if waiting is not None or shared:
            return hold(self._postgres, name, waiting, shared=shared)
        return self._hold(name)

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Hold the lock of that name for the time of the block, unless somebody else does; tells whether it is held."""
        import psycopg

        with contextlib.ExitStack() as stack:
            with _translated():
                session = _connected(self._postgres)
                stack.callback(session.close)
                found = session.execute("SELECT pg_try_advisory_lock(%s)", [key(name)]).fetchone()
            held = bool(found and found[0])
            try:
                yield held
            finally:
                if held:  # a server may notice late that a connection is closed
                    with contextlib.suppress(psycopg.Error):
                        session.execute("SELECT pg_advisory_unlock(%s)", [key(name)])

    def close(self) -> None:
        """Close the connections that are not used."""
        with self._guard:
            while self._idle:
                self._idle.pop().close()

    @contextlib.contextmanager
    def _hold(self, name: str) -> Iterator[Held]:
        with contextlib.ExitStack() as stack:
            with _translated():
                session = self._taken(key(name))
                stack.callback(session.close)
            held = Held(session)
            yield held
            with _translated():
                session.execute("SELECT pg_advisory_unlock(%s)", [key(name)])
            stack.pop_all()
            with self._guard:
                self._idle.append(session)

    def _taken(self, number: int) -> psycopg.Connection[Any]:
        """A connection that holds the lock. One that was used before may be broken."""
        import psycopg

        with self._guard:
            session = self._idle.pop() if self._idle else None
        if session is not None:
            try:
                _wait(session, number, None)
            except psycopg.Error:
                session.close()
            else:
                return session
        session = _connected(self._postgres)
        try:
            _wait(session, number, None)
        except BaseException:
            session.close()
            raise
        return session
