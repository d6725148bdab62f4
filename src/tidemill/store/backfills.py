"""Backfills: one at a time for each export, until it is completed or cancelled."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store.database import Database
from tidemill.store.records import Backfill
from tidemill.store.tables import UNFINISHED
from tidemill.store.tables import backfills as table


class Backfills:
    """The repository of backfills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, export_id: uuid.UUID, **fields: Any) -> Backfill:
        """Save a new one; it is running.

        Raises
        ------
        ConflictError
            The export has one that is not finished.
        """
        statement = sa.insert(table).values(id=uuid.uuid4(), export_id=export_id, status="running", **fields)
        try:
            with self._database.begin() as connection:
                return Backfill(**connection.execute(statement.returning(*table.c)).one()._mapping)
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

    def take(self, backfill: Backfill, worker: str) -> Backfill:
        """It is running again, by this worker.

        Raises
        ------
        ConflictError
            Somebody else took it meanwhile.
        """
        same = (table.c.status == backfill.status) & table.c.worker.is_not_distinct_from(backfill.worker)
        taken = {"status": "running", "worker": worker, "finished_at": None}
        change = sa.update(table).where(table.c.id == backfill.id, same).values(**taken)
        with self._database.begin() as connection:
            row = connection.execute(change.returning(*table.c)).first()
        if row is None:
            raise ConflictError("backfill_running", "Another process moves the backfill.", hint="Wait, or pause it.")
        return Backfill(**row._mapping)

    def mark(self, backfill_id: uuid.UUID, status: str) -> None:
        """It is paused, failed, completed or cancelled, unless it is over."""
        over = sa.func.now() if status in {"completed", "cancelled"} else None
        change = sa.update(table).where(table.c.id == backfill_id, table.c.status.in_(UNFINISHED))
        with self._database.begin() as connection:
            connection.execute(change.values(status=status, finished_at=over))
