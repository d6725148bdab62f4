"""The gate's book of write streams, in the emulator's DuckDB: rows and the stream's next offset are one transaction.

Rows of a PENDING stream are kept beside the book, a request an entry, until they are committed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from tidemill.bigquery.local.permissions import Place

#: A stream is forgotten then. Google keeps one that nobody writes to for about as long.
KEPT_SECONDS = 3 * 24 * 3600
DEFAULT = "_default"
_STREAMS = "tidemill_gate.streams"
_ROWS = "tidemill_gate.pending_rows"
_COLUMNS = "name, project, dataset, tab, created, pending, made, next, finalized, committed"


@dataclasses.dataclass(frozen=True)
class Stream:
    """A stream. `created`: when its table was made, in ms; `next`: the offset of the row that comes next."""

    name: str
    at: Place
    created: int
    pending: bool
    made: float
    next: int = 0
    finalized: bool = False
    committed: float | None = None


class Streams:
    """The streams of all tables. What changes them is to be called by one at a time; it may be in a thread."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        with self._transaction() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS tidemill_gate")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {_STREAMS} (name VARCHAR, project VARCHAR, dataset VARCHAR, tab VARCHAR, "
                "created BIGINT, pending BOOLEAN, made DOUBLE, next BIGINT, finalized BOOLEAN, committed DOUBLE)"
            )
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {_ROWS} (name VARCHAR, first BIGINT, content BLOB)")

    def make(self, at: Place, created: int, *, pending: bool) -> Stream:
        """A new stream into a table."""
        name = f"{table_name(at)}/streams/{secrets.token_hex(20)}"
        made = Stream(name, at, created, pending, time.time())
        with self._transaction() as cursor:
            cursor.execute(
                f"INSERT INTO {_STREAMS} VALUES (?, ?, ?, ?, ?, ?, ?, 0, false, NULL)",
                [name, at.project, at.dataset, at.table, created, pending, made.made],
            )
        return made

    def find(self, name: str) -> Stream | None:
        """The stream of that name."""
        cursor = self._connection.cursor()
        try:
            found = cursor.execute(f"SELECT {_COLUMNS} FROM {_STREAMS} WHERE name = ?", [name]).fetchone()
        finally:
            cursor.close()
        if found is None:
            return None
        name, project, dataset, table, created, *rest = found
        return Stream(name, Place(project, dataset, table, ""), created, *rest)

    def append(self, stream: Stream | None, into: str, rows: pa.Table) -> None:
        """Enter rows: into the DuckDB table of that quoted name, or beside the book if the stream is PENDING.

        `stream`: none for the default stream, of which there is no book.
        """
        with self._transaction() as cursor:
            if stream is None or not stream.pending:
                _insert(cursor, into, rows, rows.column_names)
            else:
                cursor.execute(f"INSERT INTO {_ROWS} VALUES (?, ?, ?)", [stream.name, stream.next, _packed(rows)])
            if stream is not None:
                after = stream.next + rows.num_rows
                cursor.execute(f"UPDATE {_STREAMS} SET next = ? WHERE name = ?", [after, stream.name])

    def finalize(self, name: str) -> None:
        """No more rows go into the stream."""
        with self._transaction() as cursor:
            cursor.execute(f"UPDATE {_STREAMS} SET finalized = true WHERE name = ?", [name])

    def commit(self, names: Sequence[str], into: str, columns: Sequence[str]) -> float:
        """Put the rows of PENDING streams into the DuckDB table of that quoted name, which has those columns, at once.

        Gives the time of it.
        """
        now = time.time()
        with self._transaction() as cursor:
            for name in names:
                query = f"SELECT first FROM {_ROWS} WHERE name = ? ORDER BY first"
                for (first,) in cursor.execute(query, [name]).fetchall():
                    query = f"SELECT content FROM {_ROWS} WHERE name = ? AND first = ?"
                    (content,) = cursor.execute(query, [name, first]).fetchone() or (b"",)
                    rows = pa.ipc.open_stream(content).read_all()
                    _insert(cursor, into, rows, [column for column in rows.column_names if column in columns])
                cursor.execute(f"DELETE FROM {_ROWS} WHERE name = ?", [name])
                cursor.execute(f"UPDATE {_STREAMS} SET committed = ? WHERE name = ?", [now, name])
        return now

    def forget(self, name: str) -> None:
        """The stream is not known any more, nor what was not committed of it."""
        with self._transaction() as cursor:
            cursor.execute(f"DELETE FROM {_STREAMS} WHERE name = ?", [name])
            cursor.execute(f"DELETE FROM {_ROWS} WHERE name = ?", [name])

    def forget_old(self) -> None:
        """Forget the streams whose time is over."""
        cursor = self._connection.cursor()
        try:
            query = f"SELECT name FROM {_STREAMS} WHERE made < ?"
            old = cursor.execute(query, [time.time() - KEPT_SECONDS]).fetchall()
        finally:
            cursor.close()
        for (name,) in old:
            self.forget(name)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")
        finally:
            cursor.close()  # with what is not committed


def table_name(at: Place) -> str:
    """The table's name, as the Storage Write API has it."""
    return f"projects/{at.project}/datasets/{at.dataset}/tables/{at.table}"


def _insert(cursor: duckdb.DuckDBPyConnection, into: str, rows: pa.Table, columns: Sequence[str]) -> None:
    named = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    cursor.register("tidemill_rows", rows)
    try:
        cursor.execute(f"INSERT INTO {into} ({named}) SELECT {named} FROM tidemill_rows")
    finally:
        cursor.unregister("tidemill_rows")


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed
