"""Addresses by which somebody outside has an export or a sync run."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any, Literal

import sqlalchemy as sa

from tidemill.errors import NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Sorts, moment
from tidemill.store.tables import exports
from tidemill.store.tables_api import hooks as table
from tidemill.store.tables_sync import syncs

Kind = Literal["export", "sync"]
_COLUMNS = {"export": table.c.export_id, "sync": table.c.sync_id}
_SORTS = Sorts(
    {"created_at": moment(table.c.created_at), "last_used_at": moment(table.c.last_used_at)},
    (table.c.id, uuid.UUID),
    own="created_at",
)
_TARGETS = {"export": exports, "sync": syncs}


@dataclasses.dataclass(frozen=True)
class Hook:
    """One of them. `name`: of what it has run; `start`: its first characters; the rest is kept nowhere."""

    id: uuid.UUID
    kind: Kind
    name: str
    hash: bytes = dataclasses.field(repr=False)
    start: str
    created_at: dt.datetime
    created_by: str
    last_used_at: dt.datetime | None


class Hooks:
    """The repository of those that have things of a kind run."""

    def __init__(self, database: Database, kind: Kind) -> None:
        self._database, self._kind = database, kind
        self._column, self._targets = _COLUMNS[kind], _TARGETS[kind]

    def add(self, target: uuid.UUID, **fields: Any) -> None:
        """Save a new one."""
        values = {self._column.name: target, "id": uuid.uuid4(), **fields}
        with self._database.begin() as connection:
            connection.execute(sa.insert(table).values(values))

    def find(self, target: uuid.UUID) -> list[Hook]:
        """Those of one thing that are not revoked, oldest first."""
        query = self._query().where(self._column == target).order_by(table.c.created_at, table.c.id)
        with self._database.begin() as connection:
            return [self._made(row) for row in connection.execute(query)]

    def page(self, target: uuid.UUID, wanted: Wanted) -> Page[Hook]:
        """The same by pages, by created_at or last_used_at."""
        query = self._query().where(self._column == target)
        return keyset.listed(self._database, query, _SORTS, f"hooks {target}", wanted, self._of)

    def by_hash(self, digest: bytes) -> Hook | None:
        """The one with this hash, unless it is revoked."""
        with self._database.begin() as connection:
            row = connection.execute(self._query().where(table.c.hash == digest)).first()
        return self._made(row) if row else None

    def used(self, hook_id: uuid.UUID) -> None:
        """Somebody has used it."""
        self._change(sa.update(table).where(table.c.id == hook_id).values(last_used_at=sa.func.now()))

    def revoke(self, target: uuid.UUID, start: str) -> None:
        """Revoke the one of a thing that begins so.

        Raises
        ------
        NotFoundError
            There is none.
        """
        which = (self._column == target, table.c.start == start, table.c.revoked_at.is_(None))
        if not self._change(sa.update(table).where(*which).values(revoked_at=sa.func.now())):
            raise NotFoundError(
                "hook_unknown",
                f"There is no hook {start!r} of it.",
                hint=f"See which there are: tidemill {self._kind} hook list NAME",
            )

    def _change(self, change: sa.Update) -> int:
        with self._database.begin() as connection:
            return connection.execute(change).rowcount

    def _query(self) -> sa.Select[Any]:
        names = self._targets.c
        columns = (table.c[field.name] for field in dataclasses.fields(Hook) if field.name not in {"kind", "name"})
        joined = table.join(self._targets, names.id == self._column)
        return sa.select(*columns, names.name).select_from(joined).where(table.c.revoked_at.is_(None))

    def _made(self, row: sa.Row[Any]) -> Hook:
        return self._of(row._mapping)

    def _of(self, row: Any) -> Hook:
        return Hook(kind=self._kind, **row)
