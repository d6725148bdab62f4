"""Sessions of the user's PostgreSQL. They are made to addresses that the guard allows."""

from __future__ import annotations

import contextlib
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.destinations.port import Outlet
from tidemill.destinations.postgresql import deadline, refusals, statements
from tidemill.destinations.postgresql.names import full
from tidemill.destinations.postgresql.statements import Shape, Verb
from tidemill.errors import ConfigError, TidemillError
from tidemill.outbound import network
from tidemill.outbound.client import CONNECT_SECONDS, Seen

if TYPE_CHECKING:
    import psycopg

    from tidemill.destinations.postgresql.config import PostgresqlSettings

Rows = Sequence[Mapping[str, Any]]
#: How long a transaction may take: longer than the server's own deadline for a statement; and one that only asks.
WRITE_SECONDS, TEST_SECONDS = 180.0, 30.0


class PostgresqlClient:
    """See port.Client."""

    def __init__(self, settings: PostgresqlSettings, outlet: Outlet, authority: str) -> None:
        """`authority`: a file with certificates."""
        self._settings, self._guard, self._authority = settings, outlet.http.guard, authority
        self._http = outlet.http
        self._idle: queue.LifoQueue[psycopg.Connection[Any]] = queue.LifoQueue()
        self._tables: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: PostgresqlSettings, outlet: Outlet) -> Iterator[PostgresqlClient]:
        """See port.Destination."""
        with _authority(settings) as file:
            made = cls(settings, outlet, file)
            try:
                yield made
            finally:
                made.close()

    def close(self) -> None:
        """End all sessions."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def test(self) -> str:
        """See port.Client."""
        with self._transaction(TEST_SECONDS) as cursor:
            cursor.execute("SELECT current_user, current_database(), current_setting('server_version')")
            user, database, version = cursor.fetchone() or ("", "", "")
        return f"{user} signs in to {database}, of a PostgreSQL {version}."

    def write(self, shape: Shape, body: bytes, rows: Callable[[], Rows]) -> tuple[list[str], set[int] | None]:
        """Write a batch, a JSON list of rows, in one transaction. Gives columns that the table lacks, in which case
        nothing is written; and, of an update, the numbers of rows that are there, from 1."""
        types = self._table(shape, rows)
        lacking = [name for name in shape.columns if name not in types]
        if lacking:
            return lacking, None
        statement = statements.write(shape, types)
        try:
            with self._transaction() as cursor:
                cursor.execute(statement, [body.decode()])
                there = {row[0] for row in cursor.fetchall()} if shape.verb is Verb.UPDATE else None
                rows_changed = cursor.rowcount
        except TidemillError as error:
            self._tell(statement, body, "failed", error.message)
            if isinstance(error, ConfigError):  # the table may have changed
                self._tables.pop(shape.table, None)
            raise
        self._tell(statement, body, "committed", f"Rows: {rows_changed:,}.")
        return [], there

    def _tell(self, statement: str, body: bytes, status: str, said: str) -> None:
        """Who looks on sees the statement, and $1, which is the batch."""
        told = self._settings
        address = f"postgresql://{told.user}@{told.host}:{told.port}/{told.database}"
        self._http.tell(Seen("SQL", address, {}, statement.encode() + b"\n$1 = " + body, status, said.encode()))

    def _table(self, shape: Shape, rows: Callable[[], Rows]) -> Mapping[str, str]:
        """The table's columns with their types; what is not there is made, if that is wished."""
        with self._lock:
            found = self._tables.get(shape.table, {})
            if all(name in found for name in shape.columns):
                return found
            with self._transaction() as cursor:
                found = _described(cursor, shape)
                lacking = [name for name in shape.columns if name not in found]
                if lacking and self._settings.make_tables and shape.verb is not Verb.DELETE:
                    cursor.execute(statements.LOCK, [full(shape.table)])
                    made = statements.add(shape, lacking, rows()) if found else statements.create(shape, rows())
                    cursor.execute(made)
                    found = _described(cursor, shape)
            if not found:
                raise ConfigError(
                    "destination_table",
                    f"There is no table {shape.table}.",
                    hint="Make it, or allow that it is made: the setting make_tables.",
                )
            self._tables[shape.table] = found
            return found

    @contextlib.contextmanager
    def _transaction(self, seconds: float | None = None) -> Iterator[Any]:
        """A transaction of a session of its own: kept if the block succeeds. After so many seconds the session is
        ended."""
        import psycopg

        session = self._session()
        limit = deadline.Deadline()
        try:
            with (
                deadline.within(session, seconds or WRITE_SECONDS) as limit,
                session.transaction(),
                psycopg.RawCursor(session) as cursor,
            ):
                cursor.execute(statements.BEGIN)
                yield cursor
        except psycopg.Error as error:
            if limit.passed:
                raise network.unreachable(self._settings.host, self._settings.port, TimeoutError()) from None
            raise refusals.of_statement(error, self._settings.host, self._settings.port) from None
        finally:
            if session.closed or session.broken:
                session.close()
            else:
                self._idle.put(session)

    def _session(self) -> psycopg.Connection[Any]:
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        import psycopg

        settings = self._settings
        try:
            addresses = self._guard.addresses(settings.host, settings.port)
        except OSError as error:
            raise network.unreachable(settings.host, settings.port, error) from None
        try:
            return psycopg.connect(
                # The name is for the certificate; the connection is made to what the guard looked at.
                host=",".join([settings.host] * len(addresses)),
                hostaddr=",".join(addresses),
                port=settings.port,
                dbname=settings.database,
                user=settings.user,
                password=settings.password.get_secret_value(),
                passfile=os.devnull,
                sslmode=settings.tls,
                sslrootcert=self._authority if settings.tls == "verify-full" else None,
                gssencmode="disable",
                connect_timeout=int(CONNECT_SECONDS),
                keepalives_idle=30,
                tcp_user_timeout=180_000,
                client_encoding="utf8",
                application_name="tidemill",
                autocommit=True,
                prepare_threshold=None,  # a pool between us and the server may not know them
            )
        except psycopg.Error as error:
            raise refusals.of_connection(error, settings.host, settings.port) from None


def _described(cursor: Any, shape: Shape) -> dict[str, str]:
    cursor.execute(statements.DESCRIBE, [full(shape.table)])
    return dict(cursor.fetchall())


@contextlib.contextmanager
def _authority(settings: PostgresqlSettings) -> Iterator[str]:
    """A file with the certificates by which the server's is verified."""
    if settings.authority is None:
        import certifi

        yield os.environ.get("SSL_CERT_FILE") or certifi.where()
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "authority.pem"
        file.write_text(settings.authority)
        yield str(file)
