"""How far streaming exports are. Whoever claims a stream is the only one that may record anything of it then."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store import connections, locks, totals, troubles
from tidemill.store.database import Database
from tidemill.store.loads import insert_rejects
from tidemill.store.records import Chunk, Stream
from tidemill.store.records_notify import Alarm, Cause
from tidemill.store.tables import chunks, exports, runs, streams

#: The number of a place behind all rows of its change.
WHOLE = 2**62
#: The code of the error that says that another process has claimed a stream.
TAKEN_OVER = "stream_taken_over"
#: Of the one that says that the export was deleted.
DELETED = "export_unknown"
#: Whether somebody has an advisory lock, by the halves of its number ("pg_locks").
_LOCKED = sa.text("""
    SELECT EXISTS (
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = CAST(:high AS bigint)::oid AND objid = CAST(:low AS bigint)::oid)
""")


@dataclasses.dataclass(frozen=True)
class Moved:
    """What a stream's run has moved by now."""

    rows: int = 0
    bytes: int = 0
    rejected: int = 0
    repaired: int = 0
    interval_end: dt.datetime | None = None


class StreamHeldError(Exception):
    """Nothing is to be sent of what was read."""


class Streams:
    """The repository of streams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, export_id: uuid.UUID) -> Stream | None:
        """The stream of an export; None if it never began."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(streams).where(streams.c.export_id == export_id)).first()
        return Stream(**row._mapping) if row else None

    def is_moved(self, export_id: uuid.UUID) -> bool:
        """Whether somebody has the lock of `moving`. It is not taken for that."""
        number = locks.key(moving(export_id)) % 2**64
        named = {"high": number >> 32, "low": number % 2**32}
        with self._database.begin() as connection:
            return bool(connection.scalar(_LOCKED, named))

    def claim(self, export_id: uuid.UUID) -> Stream:
        """Have it for oneself. It begins behind the export's position.

        Raises
        ------
        NotFoundError
            The export was deleted.
        """
        with self._database.begin() as connection:
            position = connection.scalar(sa.select(exports.c.position).where(exports.c.id == export_id))
            if position is None:
                raise _deleted()
            first = {"epoch": 1, "rows": 0, "change": position, "number": WHOLE, "in_flight": []}
            insert = pg.insert(streams).values(export_id=export_id, **first)
            change = sa.case((streams.c.epoch == 0, position), else_=streams.c.change)  # it has never begun
            again = {"epoch": streams.c.epoch + 1, "change": change}
            claimed = insert.on_conflict_do_update(index_elements=["export_id"], set_=again).returning(*streams.c)
            return Stream(**connection.execute(claimed).one()._mapping)

    def tell(self, export_id: uuid.UUID, trouble: dict[str, str] | None) -> None:
        """Record why nothing is appended, by whoever has the stream's lock; also before it has ever begun."""
        first = {"epoch": 0, "rows": 0, "change": 0, "number": WHOLE, "in_flight": []}
        with self._database.begin() as connection:
            if connection.scalar(sa.select(exports.c.id).where(exports.c.id == export_id)) is None:
                return
            insert = pg.insert(streams).values(export_id=export_id, trouble=trouble, **first)
            connection.execute(insert.on_conflict_do_update(index_elements=["export_id"], set_={"trouble": trouble}))

    def begin_run(self, stream: Stream, **fields: Any) -> Stream:
        """A run, with one chunk, that says what is appended from now on. It is running.

        Raises
        ------
        StreamHeldError
            Somebody needs the table to be still, or did so since the stream was claimed or last asked about: what was
            read before is to be read again. Or its connection is being deleted.
        """
        position = _position(stream)
        with self._database.begin() as connection:
            self._own(connection, stream)
            quiets = sa.select(streams.c.quiets).where(streams.c.export_id == stream.export_id)
            if _is_held(connection, stream.export_id) or connection.scalar(quiets) != stream.quiets:
                raise StreamHeldError
            last = connection.scalar(sa.select(sa.func.max(runs.c.number)).where(runs.c.export_id == stream.export_id))
            values = {"id": uuid.uuid4(), "export_id": stream.export_id, "number": (last or 0) + 1, "mode": "stream"}
            values |= {"status": "running", "snapshot_after": position, "snapshot_upto": position, "rows_planned": 0}
            insert = sa.insert(runs).values(**values, **fields, started_at=sa.func.now())
            run_id = connection.scalar(insert.returning(runs.c.id))
            part = {"number": 0, "snapshot_after": position, "snapshot_upto": position, "rows_planned": 0}
            connection.execute(sa.insert(chunks).values(run_id=run_id, **part, started_at=sa.func.now()))
            connection.execute(_at(stream).values(run_id=run_id))
        return dataclasses.replace(stream, run_id=run_id)

    def note(
        self,
        stream: Stream,
        moved: Moved,
        rejects: Sequence[dict[str, Any]] = (),
        alarm: Callable[[Moved], Alarm | None] = lambda _: None,
    ) -> Moved:
        """Record where the stream is, what its run has moved, and rows that are set aside; all at once.

        Gives what the run has moved, with those of the rejects that were new. `alarm`: what is told of these, if
        something is.

        Raises
        ------
        ConflictError
            Somebody else claimed the stream.
        NotFoundError
            The export was deleted.
        """
        with self._database.begin() as connection:
            self._own(connection, stream)
            connection.execute(_at(stream).values(_standing(stream)))
            moved = dataclasses.replace(moved, rejected=moved.rejected + insert_rejects(connection, rejects))
            self._move(connection, stream, moved)
            if rejects and (found := alarm(moved)):
                troubles.seen(connection, stream.export_id, found)
        return moved

    def end_run(self, stream: Stream, moved: Moved, alarm: Callable[[Moved], Alarm | None] = lambda _: None) -> Stream:
        """The run of a stream that has nothing in flight, and stands between two changes, is completed. `alarm`: as in
        `note`; if it finds nothing, what was told of a run before is over."""
        with self._database.begin() as connection:
            self._own(connection, stream)
            self._move(connection, stream, moved)
            done = {"status": "completed", "finished_at": sa.func.now()}
            connection.execute(sa.update(runs).where(runs.c.id == stream.run_id).values(**done))
            totals.count(connection, [stream.run_id] if stream.run_id else [])
            done = {"status": "loaded", "finished_at": sa.func.now()}
            connection.execute(sa.update(chunks).where(chunks.c.run_id == stream.run_id).values(**done))
            connection.execute(_at(stream).values(run_id=None, **_standing(stream)))
            if found := alarm(moved):
                troubles.seen(connection, stream.export_id, found)
            elif moved.rows:
                troubles.over(connection, stream.export_id, [Cause.REJECTS])
        return dataclasses.replace(stream, run_id=None)

    def moved(self, run_id: uuid.UUID) -> Moved:
        """What a run has moved, as it was recorded last."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(chunks).where(chunks.c.run_id == run_id)).one()
            end = connection.scalar(sa.select(runs.c.interval_end).where(runs.c.id == run_id))
        part = Chunk(**row._mapping)
        return Moved(part.rows_loaded, part.bytes, part.rows_rejected, part.rows_repaired, end)

    def count_quiet(self, export_id: uuid.UUID) -> None:
        """Somebody who has the lock of `quiet` needs the table to be still: what was read before is of no use then."""
        with self._database.begin() as connection:
            change = sa.update(streams).where(streams.c.export_id == export_id)
            connection.execute(change.values(quiets=streams.c.quiets + 1))

    def held(self, export_id: uuid.UUID) -> bool:
        """Whether nothing new is to be sent: somebody has the lock of `quiet`, or the connection is being deleted."""
        with self._database.begin() as connection:
            return _is_held(connection, export_id)

    def asked(self, stream: Stream) -> Stream:
        """The stream, with how often somebody needed quiet by now. To be asked before rows are read."""
        query = sa.select(streams.c.quiets).where(streams.c.export_id == stream.export_id)
        with self._database.begin() as connection:
            return dataclasses.replace(stream, quiets=connection.scalar(query) or 0)

    def _own(self, connection: sa.Connection, stream: Stream) -> None:
        """Hold the stream's row, if it is still ours."""
        query = sa.select(streams.c.epoch).where(streams.c.export_id == stream.export_id).with_for_update()
        found = connection.scalar(query)
        if found is None:
            raise _deleted()
        if found != stream.epoch:
            raise ConflictError(
                TAKEN_OVER,
                "Another process streams this export now.",
                hint="Nothing is lost: tidemill export show tells how it stands.",
            )

    def _move(self, connection: sa.Connection, stream: Stream, moved: Moved) -> None:
        position = _position(stream)
        if stream.run_id is not None:
            run: dict[str, Any] = {"snapshot_upto": position, "rows_planned": moved.rows + moved.rejected}
            if moved.interval_end:
                run["interval_end"] = moved.interval_end
            connection.execute(sa.update(runs).where(runs.c.id == stream.run_id).values(**run))
            part = {"rows_written": moved.rows, "rows_loaded": moved.rows, "rows_rejected": moved.rejected}
            part |= {"rows_repaired": moved.repaired, "bytes": moved.bytes, "rows_planned": moved.rows + moved.rejected}
            change = sa.update(chunks).where(chunks.c.run_id == stream.run_id)
            connection.execute(change.values(snapshot_upto=position, job_id=stream.name, **part))
        newer = (exports.c.id == stream.export_id, exports.c.position < position)
        connection.execute(sa.update(exports).where(*newer).values(position=position))


def moving(export_id: uuid.UUID) -> str:
    """The lock of who moves a stream. It is gone with its holder."""
    return f"stream:{export_id}"


def quiet(export_id: uuid.UUID) -> str:
    """The lock of who needs the table to be still. It is gone with its holder."""
    return f"quiet:{export_id}"


def _is_held(connection: sa.Connection, export_id: uuid.UUID) -> bool:
    """Whether nothing new is to be sent."""
    marked = connections.is_marked(connection, connections.of_export(export_id))
    return marked or not _is_free(connection, export_id)


def _is_free(connection: sa.Connection, export_id: uuid.UUID) -> bool:
    """Whether nobody has that lock. Nobody gets it before the transaction ends."""
    number = locks.key(quiet(export_id))
    return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock_shared(number))))


def _at(stream: Stream) -> sa.Update:
    return sa.update(streams).where(streams.c.export_id == stream.export_id)


def _standing(stream: Stream) -> dict[str, Any]:
    """What changes as a stream goes on."""
    names = ("name", "rows", "change", "number", "in_flight", "sent_at", "trouble")
    return {name: getattr(stream, name) for name in names}


def _position(stream: Stream) -> int:
    """The change up to which all rows are in the table."""
    return stream.change if stream.number == WHOLE else stream.change - 1


def _deleted() -> NotFoundError:
    return NotFoundError(DELETED, "The export was deleted.", hint="tidemill export list")
