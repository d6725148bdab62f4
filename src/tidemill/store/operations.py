"""What somebody has asked for that takes long: a queue of workers, how far each is, and what became of it.

Who asks for the same again while it is not over is given the one that there is. Of what is about the same thing one is
done at a time. The record of the audit log ends in the transaction in which the operation does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.errors import NotFoundError
from tidemill.store.database import Database
from tidemill.store.leases import Wishes
from tidemill.store.tables import SCHEMA
from tidemill.store.tables_access import audit_log
from tidemill.store.tables_operations import operations as table

#: How long is kept what became of one.
_KEPT = dt.timedelta(days=30)
#: Those that may be taken now: of a subject the one that was asked for first.
_NEXT = f"""
    SELECT t.id FROM {SCHEMA}.operations t
    WHERE t.worker IS NULL AND t.finished_at IS NULL AND t.due_at <= now() AND :per_connection > 0
        AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.operations o WHERE o.subject = t.subject AND o.id <> t.id
            AND o.finished_at IS NULL AND (o.worker IS NOT NULL OR (o.at, o.id) < (t.at, t.id)))
    ORDER BY t.due_at, t.id LIMIT :limit
"""


@dataclasses.dataclass(frozen=True)
class Operation:
    """One of them. See tables_operations.py for the columns."""

    id: uuid.UUID
    kind: str
    subject: str
    name: str
    wanted: dict[str, Any]
    mark: str
    by: str
    at: dt.datetime
    due_at: dt.datetime
    tries: int
    worker: str | None
    taken_at: dt.datetime | None
    finished_at: dt.datetime | None
    error: dict[str, str] | None
    progress: dict[str, Any]
    audit_id: int | None


class Operations(Wishes[Operation]):
    """The repository of operations."""

    _next = _NEXT

    def __init__(self, database: Database) -> None:
        super().__init__(database, table, Operation)

    def add(
        self, kind: str, subject: str, name: str, wanted: Mapping[str, Any], by: str, *, audit_id: int | None = None
    ) -> tuple[Operation, bool]:
        """Have a worker do something, or give the same that is not over. Whether it was there before."""
        mark = hashlib.sha256(json.dumps([kind, subject, wanted], sort_keys=True).encode()).hexdigest()
        values = {"kind": kind, "subject": subject, "name": name, "wanted": dict(wanted), "mark": mark, "by": by}
        made = pg.insert(table).values(id=uuid.uuid4(), at=sa.func.clock_timestamp(), audit_id=audit_id, **values)
        once = made.on_conflict_do_nothing(index_elements=["mark"], index_where=table.c.finished_at.is_(None))
        there = sa.select(table).where(table.c.mark == mark, table.c.finished_at.is_(None))
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.finished_at < sa.func.now() - _KEPT))
        while True:
            with self._database.begin() as connection:
                row = connection.execute(once.returning(*table.c)).first()
                if row is not None:
                    return Operation(**row._mapping), False
                row = connection.execute(there).first()
            if row is not None:  # if not, it has ended at this moment
                return Operation(**row._mapping), True

    def by_id(self, operation_id: uuid.UUID) -> Operation:
        """The one with that id; NotFoundError if there is none."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == operation_id)).first()
        if row is None:
            raise NotFoundError("operation_unknown", "There is no such operation.", hint="It is kept for a month.")
        return Operation(**row._mapping)

    def last_of(self, subject: str, *kinds: str) -> Operation | None:
        """The newest about something; None if there is none."""
        query = sa.select(table).where(table.c.subject == subject, table.c.kind.in_(kinds))
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(table.c.at.desc(), table.c.id).limit(1)).first()
        return Operation(**row._mapping) if row else None

    def open(self, kind: str, limit: int) -> list[Operation]:
        """Those that are not over, the oldest first."""
        query = sa.select(table).where(table.c.kind == kind, table.c.finished_at.is_(None))
        with self._database.begin() as connection:
            rows = connection.execute(query.order_by(table.c.at, table.c.id).limit(limit)).all()
        return [Operation(**row._mapping) for row in rows]

    def waiting(self) -> tuple[int, dt.datetime | None]:
        """How many are not over, and since when the oldest of these waits that nobody has ever begun."""
        never: sa.ColumnElement[Any] = sa.func.min(table.c.at).filter(table.c.tries == 0)
        query = sa.select(sa.func.count(), never).where(table.c.finished_at.is_(None))
        with self._database.begin() as connection:
            found = connection.execute(query).one()
        since: dt.datetime | None = found[1]
        return int(found[0]), since

    def note(self, operation: Operation, progress: Mapping[str, Any]) -> None:
        """How far it is, if this worker still has it."""
        change = sa.update(table).where(*self._had(operation))
        with self._database.begin() as connection:
            connection.execute(change.values(progress=dict(progress), error=None))

    def done(
        self,
        operation: Operation,
        progress: Mapping[str, Any],
        error: dict[str, str] | None = None,
        *,
        forgets: bool = False,
    ) -> None:
        """It was done, or cannot be, if this worker still has it. `forgets`: what it was about is not kept."""
        values: dict[str, Any] = {"subject": "", "name": "", "wanted": {}, "mark": ""} if forgets else {}
        outcome = {"outcome": "failed" if error else "done", "code": error["code"] if error else ""}
        with self._database.begin() as connection:
            ended = self._finish(connection, operation, error, progress=dict(progress), **values)
            if ended and operation.audit_id is not None:
                record = sa.update(audit_log).where(audit_log.c.id == operation.audit_id)
                connection.execute(record.values(**outcome))

    def again(
        self,
        operation: Operation,
        due_at: dt.datetime,
        tries: int,
        progress: Mapping[str, Any],
        error: dict[str, str] | None,
    ) -> None:
        """It is to be done again, not before then; nobody has it. `tries`: so many count."""
        with self._database.begin() as connection:
            self._return(connection, operation, due_at, tries, progress=dict(progress), error=error)
