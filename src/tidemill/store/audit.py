"""Who did what: the repository of the audit log."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Sorts
from tidemill.store.tables_access import audit_log

_AT_ONCE = 1_000
_ID = (audit_log.c.id, int)
#: Their numbers are in the order of their times.
_SORTS = Sorts({"at": _ID}, _ID, own="-at")


@dataclasses.dataclass(frozen=True)
class Record:
    """One record. `outcome`: begun (and no more is known), done, refused, failed; `code`: of the error."""

    id: int
    at: dt.datetime
    actor: str
    actor_kind: str
    address: str
    action: str
    kind: str
    name: str
    outcome: str
    code: str
    details: dict[str, Any]
    before: Any
    after: Any


class AuditBook:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, **fields: Any) -> int:
        """Write a record, in a transaction of its own; gives its number."""
        with self._database.begin() as connection:
            return int(connection.execute(sa.insert(audit_log).values(**fields).returning(audit_log.c.id)).scalar_one())

    def end(self, number: int, **fields: Any) -> None:
        """Say what became of it."""
        with self._database.begin() as connection:
            connection.execute(sa.update(audit_log).where(audit_log.c.id == number).values(**fields))

    def find(self, *, limit: int, below: int | None = None, **wanted: Any) -> list[Record]:
        """The newest first. `below`: only those with a smaller number; `wanted`: see access/audit.py."""
        query = sa.select(audit_log).where(*_conditions(**wanted)).order_by(audit_log.c.id.desc()).limit(limit)
        if below is not None:
            query = query.where(audit_log.c.id < below)
        with self._database.begin() as connection:
            return [Record(**row._mapping) for row in connection.execute(query)]

    def page(self, wanted: Wanted, **chosen: Any) -> Page[Record]:
        """Records by pages, the newest first, or by `at`; `chosen`: see access/audit.py."""
        query = sa.select(audit_log).where(*_conditions(**chosen))
        which = f"audit {sorted(chosen.items())}"
        return keyset.listed(self._database, query, _SORTS, which, wanted, lambda row: Record(**row))

    def every(self, **wanted: Any) -> Iterator[Record]:
        """All of them, the newest first, some at a time."""
        below: int | None = None
        while found := self.find(limit=_AT_ONCE, below=below, **wanted):
            yield from found
            below = found[-1].id

    def prune(self, before: dt.datetime) -> int:
        """Remove those of before that time; gives how many."""
        with self._database.begin() as connection:
            return connection.execute(sa.delete(audit_log).where(audit_log.c.at < before)).rowcount


def _conditions(
    *,
    actor: str | None = None,
    action: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    outcome: str | None = None,
    after: dt.datetime | None = None,
    before: dt.datetime | None = None,
    days: int | None = None,
) -> Iterator[sa.ColumnElement[bool]]:
    for column, value in (("actor", actor), ("action", action), ("kind", kind), ("name", name), ("outcome", outcome)):
        if value is not None:
            yield audit_log.c[column] == value
    if after is not None:
        yield audit_log.c.at >= after
    if before is not None:
        yield audit_log.c.at < before
    if days is not None:
        yield audit_log.c.at >= sa.func.now() - dt.timedelta(days=days)
