"""Runs of exports that somebody wants now, beside their schedules: a queue of workers, and what became of each.

Of the same one waits at most. One that is at work may have looked too early for what its successor is to bring, so
another one may wait meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from tidemill.errors import NotFoundError
from tidemill.store import connections
from tidemill.store.database import Database
from tidemill.store.leases import Wishes
from tidemill.store.tables import SCHEMA, exports
from tidemill.store.tables_api import export_triggers as table
from tidemill.store.tasks import BUSY

#: How long is kept what was asked for.
_KEPT = dt.timedelta(days=30)
#: Those that may be taken now: of an export one at a time, and not while a worker has an interval of it.
_NEXT = f"""
    WITH busy AS ({BUSY}), free AS (
        SELECT t.id, e.connection_id, t.due_at, row_number() OVER (
            PARTITION BY e.connection_id ORDER BY t.due_at, t.id) AS place
        FROM {SCHEMA}.export_triggers t JOIN {SCHEMA}.exports e ON e.id = t.export_id
        WHERE t.worker IS NULL AND t.finished_at IS NULL AND t.due_at <= now()
            AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.tasks o WHERE o.export_id = t.export_id AND o.worker IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.export_triggers o WHERE o.export_id = t.export_id AND o.id <> t.id
                AND (o.worker IS NOT NULL OR (o.finished_at IS NULL AND (o.at, o.id) < (t.at, t.id))))
    )
    SELECT free.id FROM free LEFT JOIN busy USING (connection_id)
    WHERE free.place + coalesce(busy.number, 0) <= :per_connection
    ORDER BY free.due_at, free.id LIMIT :limit
"""


@dataclasses.dataclass(frozen=True)
class ExportTrigger:
    """What somebody wants. `what`: run (what is new), retry or again (of the run `run_id`), rejects (those of an
    export, or of that run, with this `code`); `arrived`: see Dispatch.retry; `error`: why it failed, or what it waits
    for; `runs`: that were moved for it."""

    id: uuid.UUID
    export_id: uuid.UUID
    what: str
    run_id: uuid.UUID | None
    code: str | None
    arrived: bool | None
    by: str
    at: dt.datetime
    due_at: dt.datetime
    tries: int
    worker: str | None
    taken_at: dt.datetime | None
    finished_at: dt.datetime | None
    error: dict[str, str] | None
    runs: list[uuid.UUID]


class ExportTriggers(Wishes[ExportTrigger]):
    """The repository of triggers. Of a connection workers have `per_connection` at most, with all that they do."""

    _next = _NEXT

    def __init__(self, database: Database) -> None:
        super().__init__(database, table, ExportTrigger)

    def add(
        self,
        export_id: uuid.UUID,
        what: str,
        by: str,
        *,
        run_id: uuid.UUID | None = None,
        code: str | None = None,
        arrived: bool | None = None,
    ) -> tuple[ExportTrigger, bool]:
        """Have a worker do something, or give what waits already. Whether it was there before.

        Raises
        ------
        ConflictError
            The connection is being deleted.
        NotFoundError
            The export was deleted.
        """
        wanted = {"export_id": export_id, "what": what, "run_id": run_id, "code": code}
        values = {"id": uuid.uuid4(), **wanted, "arrived": arrived, "by": by, "at": sa.func.clock_timestamp()}
        same = [table.c[name].is_not_distinct_from(value) for name, value in wanted.items()]
        waits = (table.c.worker.is_(None), table.c.finished_at.is_(None))
        insert = sa.insert(table).values(values).returning(*table.c)
        with self._database.begin() as connection:
            # Who deletes the export has its row, too; and of two who want the same, one is first.
            _assert_there(connection, export_id)
            connections.assert_kept(connection, connections.of_export(export_id))
            old = (table.c.export_id == export_id, table.c.finished_at < sa.func.now() - _KEPT)
            connection.execute(sa.delete(table).where(*old))
            row = connection.execute(sa.select(table).where(*same, *waits).limit(1)).first()
            if row is not None:
                return ExportTrigger(**row._mapping), True
            return ExportTrigger(**connection.execute(insert).one()._mapping), False

    def by_id(self, trigger_id: uuid.UUID) -> ExportTrigger:
        """The one with that id; NotFoundError if there is none."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == trigger_id)).first()
        if row is None:
            raise NotFoundError("trigger_unknown", "There is no such trigger.", hint="It is kept for a month.")
        return ExportTrigger(**row._mapping)

    def done(self, trigger: ExportTrigger, runs: Sequence[uuid.UUID], error: dict[str, str] | None = None) -> None:
        """It was done, or cannot be, if this worker still has it."""
        with self._database.begin() as connection:
            self._finish(connection, trigger, error, runs=list(runs))

    def again(self, trigger: ExportTrigger, due_at: dt.datetime, tries: int, error: dict[str, str] | None) -> None:
        """It is to be done again, not before then; nobody has it. `tries`: so many count."""
        with self._database.begin() as connection:
            self._return(connection, trigger, due_at, tries, error=error)


def _assert_there(connection: sa.Connection, export_id: uuid.UUID) -> None:
    if connection.scalar(sa.select(exports.c.id).where(exports.c.id == export_id).with_for_update()) is None:
        raise NotFoundError("export_unknown", "The export was deleted.", hint="tidemill export list")
