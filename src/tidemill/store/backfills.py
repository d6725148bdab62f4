"""Backfills: one at a time for each export, until it is completed or cancelled."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql import aggregate_order_by

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store import connections
from tidemill.store.database import Database
from tidemill.store.records import Backfill
from tidemill.store.tables import UNFINISHED, runs
from tidemill.store.tables import backfills as table
from tidemill.store.tables_queue import pieces


@dataclasses.dataclass(frozen=True)
class Sums:
    """What became of a backfill's intervals: numbers of those that are done, how many failed or were cancelled, and
    what to do about the first that failed."""

    done: tuple[int, ...] = ()
    failed: int = 0
    hint: str = ""


class Backfills:
    """The repository of backfills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, export_id: uuid.UUID, *, parallel: int | None = None, **fields: Any) -> Backfill:
        """Save a new one; it is running. `parallel`: by workers, so many of its intervals at once.

        Raises
        ------
        ConflictError
            The export has one that is not finished; or its connection is being deleted.
        """
        values = {"id": uuid.uuid4(), "export_id": export_id, "status": "running", "parallel": parallel, **fields}
        try:
            with self._database.begin() as connection:
                connections.assert_kept(connection, connections.of_export(export_id))
                row = connection.execute(sa.insert(table).values(**values).returning(*table.c)).one()
                made = Backfill(**row._mapping)
                _queue(connection, made)
                return made
        except exc.IntegrityError:
            raise ConflictError(
                "backfill_unfinished",
                "The export has a backfill that is not finished.",
                hint="tidemill export backfill list shows it; wait for it, or pause, resume or cancel it.",
            ) from None

    def by_id(self, backfill_id: uuid.UUID) -> Backfill:
        """The backfill with that id; NotFoundError if its export was deleted."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == backfill_id)).first()
        if row is None:
            raise NotFoundError("backfill_unknown", "The backfill is gone.", hint="tidemill export backfill list")
        return Backfill(**row._mapping)

    def sums(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Sums]:
        """What became of the intervals of each of these."""
        number, status = runs.c.backfill_interval, runs.c.status
        done = sa.func.array_agg(number).filter(status == "completed")
        failed = sa.func.count().filter(status.in_(("failed", "cancelled")))
        hints = aggregate_order_by(runs.c.error_hint, number)
        hint = sa.func.array_agg(hints).filter(status == "failed", runs.c.error_hint != "")
        query = sa.select(runs.c.backfill_id, done, failed, hint).where(runs.c.backfill_id.in_(list(ids)))
        with self._database.begin() as connection:
            rows: list[Any] = list(connection.execute(query.group_by(runs.c.backfill_id))) if ids else []
        return {which: Sums(tuple(d or ()), number, (h or [""])[0]) for which, d, number, h in rows}

    def newest(self, export_id: uuid.UUID | None = None, *, limit: int) -> list[Backfill]:
        """Backfills, newest first, of one export or of all."""
        query = sa.select(table).order_by(table.c.created_at.desc()).limit(limit)
        if export_id is not None:
            query = query.where(table.c.export_id == export_id)
        with self._database.begin() as connection:
            return [Backfill(**row._mapping) for row in connection.execute(query)]

    def unfinished(self, export_id: uuid.UUID) -> Backfill | None:
        """The export's backfill that is neither completed nor cancelled."""
        query = sa.select(table).where(table.c.export_id == export_id, table.c.status.in_(UNFINISHED))
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        return Backfill(**row._mapping) if row else None

    def take(self, backfill: Backfill, worker: str | None, parallel: int | None = None) -> Backfill:
        """It is running again, by this worker; or (`parallel`) by any, so many of its intervals at once.

        Raises
        ------
        ConflictError
            Somebody else took it meanwhile; or its connection is being deleted.
        """
        same = (table.c.status == backfill.status) & table.c.worker.is_not_distinct_from(backfill.worker)
        taken = {"status": "running", "worker": worker, "parallel": parallel, "finished_at": None}
        change = sa.update(table).where(table.c.id == backfill.id, same).values(**taken)
        with self._database.begin() as connection:
            connections.assert_kept(connection, connections.of_export(backfill.export_id))
            row = connection.execute(change.returning(*table.c)).first()
            if row is None:
                hint = "Wait, or pause it."
                raise ConflictError("backfill_running", "Another process moves the backfill.", hint=hint)
            took = Backfill(**row._mapping)
            _queue(connection, took)
            return took

    def mark(self, backfill_id: uuid.UUID, status: str) -> None:
        """It is paused, failed, completed or cancelled, unless it is over."""
        over = sa.func.now() if status in {"completed", "cancelled"} else None
        change = sa.update(table).where(table.c.id == backfill_id, table.c.status.in_(UNFINISHED))
        with self._database.begin() as connection:
            connection.execute(change.values(status=status, finished_at=over))
            if over is not None:
                connection.execute(sa.delete(pieces).where(pieces.c.backfill_id == backfill_id))

    def end(self, backfill_id: uuid.UUID) -> str | None:
        """It is completed, or has failed, if it runs by workers and nothing of it is left for them. Gives which."""
        ours = (table.c.id == backfill_id, table.c.status == "running", table.c.parallel.is_not(None))
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(*ours).with_for_update()).first()
            if row is None or connection.scalar(sa.select(sa.exists().where(pieces.c.backfill_id == backfill_id))):
                return None
            done = sa.select(sa.func.count()).where(runs.c.backfill_id == backfill_id, runs.c.status == "completed")
            status = "completed" if connection.scalar(done) == len(row.intervals) else "failed"
            over = sa.func.now() if status == "completed" else None
            connection.execute(sa.update(table).where(*ours).values(status=status, finished_at=over))
            return status


def _queue(connection: sa.Connection, backfill: Backfill) -> None:
    """Have workers move what is not done, if they are to."""
    connection.execute(sa.delete(pieces).where(pieces.c.backfill_id == backfill.id))
    if backfill.parallel is None:
        return
    query = sa.select(runs.c.backfill_interval).where(runs.c.backfill_id == backfill.id, runs.c.status == "completed")
    done: set[int | None] = set(connection.scalars(query))
    left = [number for number in range(len(backfill.intervals)) if number not in done]
    if left:
        connection.execute(sa.insert(pieces), [{"backfill_id": backfill.id, "number": number} for number in left])
