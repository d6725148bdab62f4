"""The event store: DuckLake, its catalog in PostgreSQL and its data in Parquet files.

Each commit is one snapshot, and holds a batch of events and one row of the ledger `commits` in the same transaction.
`snapshot_id`, a virtual column of every DuckLake table, says which snapshot a row came with; it stays the same when
files are compacted and old snapshots expire. A range of snapshots is therefore an exact, repeatable set of events,
and the ledger says how many rows and bytes each one holds without a look at the events.

Commits take turns: an advisory lock in PostgreSQL, first come first served, is held around each. A reader needs none.
See docs/decisions/0001-event-store.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from tidemill.errors import UnavailableError
from tidemill.events import catalog, duck, ledger
from tidemill.events.data.storage import Storage
from tidemill.events.ledger import Commit

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from tidemill.events.known import NewEvents
    from tidemill.settings import Settings


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Raise UnavailableError if it was lost."""


class Lock(Protocol):
    """Locks that all processes see, by name."""

    def __call__(self, name: str) -> contextlib.AbstractContextManager[Held]:
        """Hold one: first come, first served."""

    def attempt(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """Hold one if nobody else does; tells whether it is held."""


#: DuckDB 1.5 does not forget files and snapshots that are gone: of each some kilobytes stay (duckdb issue 22730,
#: ducklake issue 1136). So it is had anew after so many cursors, by when that is some fifty megabytes; it takes a fifth
#: of a second, once in minutes of commits without a pause.
_CURSORS = 5_000
#: Moments of which it is remembered which snapshot was the newest; ranges, of which it is, when they were committed.
_POSITIONS, _SPANS = 20, 100
_TURN, _FILES, _TIDY = "event-store", "event-store-files", "event-store-tidy"
#: Held by PostgreSQL until it has ended the transaction in which it is taken, whatever became of who asked for it.
COMMITTING = 7_310_579_284_406_141_811
_COMMITTING = (
    "SELECT * FROM postgres_query('__ducklake_metadata_lake', "
    f"'SELECT pg_advisory_xact_lock({COMMITTING})::text AS taken')"
)
#: What is computed of each event when it comes in. `n` is its number in the commit, from 0 on.
_DERIVED = ("uuid_hash", "bytes", "n")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a batch came from: the file (a key of its content) and the last record that the batch covers."""

    file_key: str
    last_ordinal: int


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Events on their way into a commit: each once, of so many rows that there were."""

    events: pa.Table
    rows: int


@dataclasses.dataclass(frozen=True)
class Appended:
    """What a commit did."""

    rows: int
    duplicates: int


class Lake:
    """The event store of one installation. Safe to use from several threads and processes."""

    def __init__(self, settings: Settings, storage: Storage, catalog_dsn: str, lock: Lock) -> None:
        """`catalog_dsn`: libpq keywords of the PostgreSQL; `lock`: fair ones that all processes see."""
        self._settings = settings
        self.storage = storage
        self._dsn = catalog_dsn
        self._lock = lock
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._opening = threading.Lock()
        self._new_events: NewEvents | None = None
        self._position = self._used = self._looked = 0
        self._positions: dict[dt.datetime, int] = {}  # by when they were asked for
        self._spans: dict[tuple[int, int], str] = {}

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own for the calling thread; the store is opened at the first call.

        Raises
        ------
        UnavailableError
            Here, or out of the block: there is no room on the disk or in memory, or no database.
        """
        connection = self._opened()
        try:
            with duck.translated(), self.storage.translated(), contextlib.closing(connection.cursor()) as cursor:
                self.storage.sign_in(cursor)
                yield cursor
        except UnavailableError as error:
            if error.code == duck.BROKEN:
                self._leave(connection)
            raise
        self._count(connection)

    def turn(self) -> contextlib.AbstractContextManager[Held]:
        """The right to change the store, one process at a time, first come first served.

        The store is opened first: to open it takes the same turn. So whoever needs a cursor has it before the turn: by
        then the store may have to be opened anew, for which the turn would be waited for in vain.
        """
        self._opened()
        return self._lock(_TURN)

    def files(self) -> contextlib.AbstractContextManager[Held]:
        """The right to change which files there are, of events that stay as they are. To be taken before a turn."""
        self._opened()
        return self._lock(_FILES)

    def changing(self, cursor: duckdb.DuckDBPyConnection) -> contextlib.AbstractContextManager[None]:
        """A transaction that writes files; they are on disk before it is committed."""
        return self.storage.changing(cursor)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """The right to change anything: nobody else changes events or files."""
        with self.files(), self.turn():
            yield

    def elected(self) -> contextlib.AbstractContextManager[bool]:
        """Whether this process is the one, of all on all machines, that looks after files now, by itself."""
        self._opened()
        return self._lock.attempt(_TIDY)

    def close(self) -> None:
        """Close the store; a later call opens it again."""
        with self._opening:
            if self._connection is not None:
                self._connection.close()
                self._connection = self._new_events = None

    @property
    def is_open(self) -> bool:
        """Whether it is: it takes memory then, which who has nothing to do spares."""
        return self._connection is not None

    def _leave(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The next call opens the store anew."""
        with self._opening:
            if self._connection is connection:
                self._connection = None

    def _count(self, connection: duckdb.DuckDBPyConnection) -> None:
        """One cursor more has been used. After some thousands, the store is opened anew: see `_CURSORS`."""
        with self._opening:
            self._used += 1
        if self._used >= _CURSORS:
            self._leave(connection)

    def _opened(self) -> duckdb.DuckDBPyConnection:
        with self._opening:
            if self._connection is None:
                self._used = 0
                self._connection = catalog.opened(self._settings, self.storage, self._dsn, self._lock(_TURN))
            return self._connection

    def prepare(self, batches: Sequence[pa.RecordBatch]) -> Prepared:
        """What of a commit can be done while others commit. `batches` have BATCH_COLUMNS."""
        import pyarrow as pa  # 50 ms

        from tidemill.events import known  # 0.1 s

        events = pa.Table.from_batches(batches, None if batches else pa.schema([]))
        with self.cursor() as cursor:
            return Prepared(known.prepared(cursor, events), events.num_rows)

    def joined(self, many: Sequence[Prepared]) -> Prepared:
        """What was prepared for several commits, for one."""
        from tidemill.events import known  # 0.1 s

        if len(many) == 1:
            return many[0]
        with self.cursor() as cursor:
            return Prepared(known.joined(cursor, [one.events for one in many]), sum(one.rows for one in many))

    def append(self, prepared: Prepared, place: Place, within: dt.timedelta | None = None) -> Appended:
        """Commit new events and a place in the ledger, in one transaction. Durable when this returns.

        Events whose (team_id, uuid) the store holds already, or that come twice, are counted as duplicates and left
        out. `within`: if they were committed that lately; what is remembered of them is bounded by it.
        """
        selecting = self._selecting(within)
        with contextlib.ExitStack() as stack:
            cursor = stack.enter_context(self.cursor())  # before the turn: to open the store takes it
            self.storage.look_again(cursor)
            selecting.catch_up(cursor)
            held = stack.enter_context(self.turn())
            _await_commits_of_the_dead(cursor)
            with self.storage.appending(cursor):
                cursor.execute(_COMMITTING).fetchall()
                fresh = selecting.select(cursor, prepared.events)
                self._insert(cursor, fresh, place)
                held.check()  # if it is lost, somebody else may be adding the same events
            if fresh.num_rows:
                with contextlib.suppress(Exception):  # it is committed; what is not remembered is read
                    selecting.remember(cursor, fresh)
        return Appended(fresh.num_rows, prepared.rows - fresh.num_rows)

    @contextlib.contextmanager
    def one_thread(self) -> Iterator[Lake]:
        """The same store, read by one thread: what each of several would hold is too much. It has memory of its own.

        Another DuckDB, for to change the number of threads of one while somebody reads may wait for ever.
        """
        settings = self._settings.model_copy(update={"duckdb_threads": 1})
        with contextlib.closing(Lake(settings, self.storage, self._dsn, self._lock)) as alone:
            yield alone

    def _insert(self, cursor: duckdb.DuckDBPyConnection, fresh: pa.Table, place: Place) -> None:
        from tidemill.events.known import in_pieces  # 0.1 s

        now = ledger.now()
        names = ", ".join(f'"{name}"' for name in (*catalog.BATCH_COLUMNS, *_DERIVED))
        values = [place.file_key, place.last_ordinal, now]
        if fresh.num_rows == 0:
            cursor.execute("INSERT INTO lake.commits VALUES (?, ?, 0, 0, ?, NULL, NULL)", values)
            return
        cursor.register("fresh", in_pieces(fresh))
        cursor.execute(f"INSERT INTO lake.events ({names}, inserted_at) SELECT {names}, ? FROM fresh", [now])
        cursor.execute(
            "INSERT INTO lake.commits SELECT ?, ?, count(*), sum(bytes), ?, min(timestamp), max(timestamp) FROM fresh",
            values,
        )

    def _selecting(self, within: dt.timedelta | None) -> NewEvents:
        from tidemill.events.known import NewEvents  # 0.1 s

        if self._new_events is None or self._new_events.within != within:
            self._new_events = NewEvents(self._settings.spill_path, within=within, remote=self.storage.remote)
        return self._new_events

    def resume_after(self, file_key: str) -> int:
        """The last record of that file which is committed; 0 if there is none."""
        with self.cursor() as cursor:
            found = cursor.execute(
                "SELECT max(last_ordinal) FROM lake.commits WHERE file_key = ?", [file_key]
            ).fetchone()
        return int(found[0]) if found and found[0] is not None else 0

    def position(self) -> int:
        """The newest snapshot that holds events; 0 if there is none. Of the ledger only what is new is read."""
        known = self._position
        with self.cursor() as cursor:
            newest = ledger.newest(cursor) if self.storage.remote else 0
            if newest and newest == self._looked:  # the ledger is elsewhere
                return known
            found = cursor.execute(
                "SELECT max(snapshot_id) FROM lake.commits WHERE rows > 0 AND snapshot_id > ?", [known]
            ).fetchall()[0][0]
        self._position, self._looked = max(self._position, found or 0), newest
        return self._position

    def position_at(self, moment: dt.datetime, after: int) -> int:
        """The newest snapshot after `after` that was committed by then; `after` if there is none.

        Asked for many exports whose intervals end together, it is looked up once. What a machine whose clock is behind
        commits later, and says that it was before, is in a later interval then: in one of them, as ever.
        """
        if moment not in self._positions or moment > ledger.now():
            earlier = max((found for known, found in self._positions.items() if known < moment), default=0)
            with self.cursor() as cursor:
                found = cursor.execute(
                    "SELECT max(snapshot_id) FROM lake.commits "
                    "WHERE rows > 0 AND snapshot_id > ? AND committed_at <= ?",
                    [earlier, moment],
                ).fetchall()[0][0]
            self._positions = {**dict(list(self._positions.items())[-_POSITIONS:]), moment: found or earlier}
        return max(self._positions[moment], after)

    def between(self, after: int, upto: int) -> str:
        """A condition: events that came with the snapshots in (after, upto]. See ledger.between: where to open a file
        takes a request to elsewhere, so few are opened as may be."""
        if not self.storage.remote:
            return ledger.snapshots(after, upto)
        if known := self._spans.get((after, upto)):
            return known
        with self.cursor() as cursor:
            ended = upto <= ledger.newest(cursor)
            found = ledger.between(cursor, after, upto)
        if ended:  # nothing comes into it any more
            self._spans = {**dict(list(self._spans.items())[-_SPANS:]), (after, upto): found}
        return found

    def look(self) -> None:
        """Raise UnavailableError if nothing could be committed now: no catalog answers, or there is no room."""
        self.position()
        with self.cursor() as cursor:
            self.storage.look_again(cursor)
        self.storage.look()

    def total(self, after: int, upto: int) -> int:
        """How many events came with the snapshots in (after, upto]."""
        with self.cursor() as cursor:
            found = cursor.execute(
                "SELECT sum(rows)::BIGINT FROM lake.commits WHERE snapshot_id > ? AND snapshot_id <= ?", [after, upto]
            ).fetchall()
        return int(found[0][0] or 0)

    def newest(self) -> int:
        """The newest snapshot, whatever came with it: cheap to ask for, to see whether there may be events."""
        with self.cursor() as cursor:
            return ledger.newest(cursor)

    def number_at(self, snapshot: int) -> int:
        """How many events there were at a snapshot, which did not expire."""
        with self.cursor() as cursor:
            found = cursor.execute(f"SELECT count(*) FROM lake.events AT (VERSION => {snapshot:d})").fetchall()
        return int(found[0][0])

    def next(self, after: int) -> int | None:
        """The first snapshot after that one that brought events."""
        with self.cursor() as cursor:
            query = "SELECT min(snapshot_id) FROM lake.commits WHERE rows > 0 AND snapshot_id > ?"
            found: int | None = cursor.execute(query, [after]).fetchall()[0][0]
        return found

    def commits(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """The ledger of the snapshots in (after, upto], in order. `fold`: those in a row become one that together have
        about so many bytes."""
        with self.cursor() as cursor:
            return ledger.commits(cursor, after, upto, fold)

    def behind(self, places: Sequence[int]) -> dict[int, tuple[int, float]]:
        """How many events came between these snapshots, and when the first of them did; see `ledger.behind`."""
        with self.cursor() as cursor:
            return ledger.behind(cursor, places)

    def first_time(self) -> dt.datetime | None:
        """The time of the earliest event."""
        with self.cursor() as cursor:
            found: dt.datetime | None = cursor.execute("SELECT min(first_time) FROM lake.commits").fetchall()[0][0]
        return found


def _await_commits_of_the_dead(cursor: duckdb.DuckDBPyConnection) -> None:
    """Wait until PostgreSQL has ended the commit of a process that was killed at it, whose turn ended at once.

    In a transaction of its own: what another one is to see is settled when it begins.
    """
    cursor.execute("BEGIN")
    try:
        cursor.execute(_COMMITTING).fetchall()
    finally:
        cursor.execute("ROLLBACK")
