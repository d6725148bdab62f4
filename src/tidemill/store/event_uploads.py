"""Files of events that were sent by the API: a queue of workers, and what became of each."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tidemill.errors import NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order
from tidemill.store.leases import Wishes
from tidemill.store.loads import storable
from tidemill.store.tables import SCHEMA
from tidemill.store.tables_api import event_uploads as table

#: How long is kept what became of a file.
_KEPT = dt.timedelta(days=30)
#: Those that may be taken now: so many are loaded at once on all machines, for they are written one after the other.
_NEXT = f"""
    SELECT id FROM {SCHEMA}.event_uploads
    WHERE worker IS NULL AND finished_at IS NULL AND due_at <= now()
    ORDER BY due_at, id
    LIMIT least(:limit, greatest(0, :per_connection - (
        SELECT count(*) FROM {SCHEMA}.event_uploads WHERE worker IS NOT NULL)))
"""


@dataclasses.dataclass(frozen=True)
class EventUpload:
    """A file. `rows`: added so far; `result`: what came of it; `error`: why it failed, or what it waits for."""

    id: uuid.UUID
    file: str
    format: str
    team_id: int | None
    mapping: dict[str, str]
    bytes: int
    by: str
    at: dt.datetime
    due_at: dt.datetime
    tries: int
    worker: str | None
    taken_at: dt.datetime | None
    finished_at: dt.datetime | None
    is_cancelled: bool
    bytes_read: int
    rows: int
    result: dict[str, Any] | None
    error: dict[str, str] | None


class EventUploads(Wishes[EventUpload]):
    """The repository of them. `per_connection` of `take`: so many at once on all machines."""

    _next = _NEXT

    def __init__(self, database: Database) -> None:
        super().__init__(database, table, EventUpload)

    def add(self, upload_id: uuid.UUID, **fields: Any) -> EventUpload:
        """A new one, which is kept under that id."""
        values = {name: storable(value) if isinstance(value, str) else value for name, value in fields.items()}
        insert = sa.insert(table).values(id=upload_id, **values).returning(*table.c)
        with self._database.begin() as connection:
            return EventUpload(**connection.execute(insert).one()._mapping)

    def by_id(self, upload_id: uuid.UUID) -> EventUpload:
        """The one with that id; NotFoundError if there is none."""
        found = self.some([upload_id])
        if not found:
            raise NotFoundError("load_unknown", "There is no such load.", hint="It is kept for a month.")
        return found[0]

    def some(self, ids: Collection[uuid.UUID]) -> list[EventUpload]:
        """Those of these ids that there are."""
        with self._database.begin() as connection:
            rows = connection.execute(sa.select(table).where(table.c.id.in_(list(ids))))
            return [EventUpload(**row._mapping) for row in rows]

    def page(self, wanted: Wanted) -> Page[EventUpload]:
        """All of them by pages, newest first."""
        order = Order(((table.c.at, dt.datetime), (table.c.id, uuid.UUID)), descending=True)
        return keyset.page(self._database, sa.select(table), order, "event uploads", wanted, _made)

    def progress(self, upload: EventUpload, *, bytes_read: int, rows: int) -> bool:
        """How far it is. Whether its worker still has it, and is to go on."""
        change = sa.update(table).where(*self._had(upload)).values(bytes_read=bytes_read, rows=rows)
        with self._database.begin() as connection:
            is_cancelled = connection.scalar(change.returning(table.c.is_cancelled))
        return is_cancelled is False

    def cancel(self, upload_id: uuid.UUID) -> EventUpload:
        """Somebody wants it to stop. Who waits is over; gives it as it stands now."""
        waits = table.c.worker.is_(None)
        finished = sa.case((waits, sa.func.now()), else_=None)
        change = sa.update(table).where(table.c.id == upload_id, table.c.finished_at.is_(None))
        with self._database.begin() as connection:
            connection.execute(change.values(is_cancelled=True, finished_at=finished))
        return self.by_id(upload_id)

    def done(
        self, upload: EventUpload, *, result: Mapping[str, Any] | None = None, error: Mapping[str, str] | None = None
    ) -> bool:
        """It is over, if its worker still had it. Whether that was so."""
        with self._database.begin() as connection:
            return self._finish(connection, upload, error, result=result)

    def again(self, upload: EventUpload, due_at: dt.datetime, tries: int, error: dict[str, str] | None) -> None:
        """It is to be done again, not before then; nobody has it. `tries`: so many count."""
        with self._database.begin() as connection:
            self._return(connection, upload, due_at, tries, error=error)

    def give_up(self, upload_id: uuid.UUID, error: Mapping[str, str]) -> None:
        """One that nobody has is over: it has failed."""
        change = sa.update(table).where(table.c.id == upload_id, table.c.worker.is_(None))
        with self._database.begin() as connection:
            connection.execute(change.values(finished_at=sa.func.now(), error=error))

    def forget_old(self) -> int:
        """Those that are over for longer than they are kept are forgotten. Gives how many."""
        with self._database.begin() as connection:
            old = table.c.finished_at < sa.func.now() - _KEPT
            return connection.execute(sa.delete(table).where(old)).rowcount

    def needed(self) -> tuple[dt.datetime, Sequence[uuid.UUID]]:
        """The files that are not loaded yet, and the time of now."""
        with self._database.begin() as connection:
            now = connection.scalar(sa.select(sa.func.now()))
            found: Sequence[uuid.UUID] = connection.scalars(
                sa.select(table.c.id).where(table.c.finished_at.is_(None))
            ).all()
        assert now is not None  # noqa: S101 - it always tells
        return now, found


def _made(row: Mapping[str, Any]) -> EventUpload:
    return EventUpload(**row)
