"""What queues of workers have in common: each row is had by one worker, and is another's if that one is gone.

Who takes is serialized by one lock for all of them, so that limits hold exactly: a look takes a few milliseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.locks import key

Item = TypeVar("Item")
_NOBODYS: dict[str, Any] = {"worker": None, "taken_at": None}
#: A row that workers have died of waits so many seconds, twice as long each time: half an hour at most.
_LONGEST = 11


class Leases(Generic[Item]):
    """A queue: a table with `due_at`, `tries`, `worker` and `taken_at`."""

    #: Those that may be taken now, first what comes first: their primary keys, `limit` at most, of a connection so many
    #: that workers have no more than `per_connection`.
    _next: ClassVar[str]

    def __init__(self, database: Database, table: sa.Table, item: Callable[..., Item]) -> None:
        """`item`: makes a record of a row's columns."""
        self._database, self._table, self._item = database, table, item
        self._key = tuple(table.primary_key.columns)

    def any(self) -> bool:
        """Whether there are some, of anybody."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(*self._key)))))

    def take(self, worker: str, limit: int, per_connection: int) -> list[Item]:
        """Take up to so many, in order."""
        table, limits = self._table.c, {"limit": limit, "per_connection": per_connection}
        with self._database.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key("tasks"))))
            found = [tuple(row) for row in connection.execute(sa.text(self._next), limits)]
            if not found:
                return []
            self._taking(connection, found)
            change = sa.update(self._table).where(self._among(found))
            change = change.values(worker=worker, taken_at=sa.func.now(), tries=table.tries + 1)
            rows = connection.execute(change.returning(*self._table.c))
            taken = {tuple(row._mapping[column] for column in self._key): self._item(**row._mapping) for row in rows}
        return [taken[which] for which in found if which in taken]

    def _taking(self, connection: sa.Connection, found: Sequence[tuple[Any, ...]]) -> None:
        """Called with the keys of what is about to be taken."""

    def workers(self) -> list[str]:
        """Who has some."""
        worker = self._table.c.worker
        with self._database.begin() as connection:
            return [str(row[0]) for row in connection.execute(sa.select(worker).distinct().where(worker.is_not(None)))]

    def abandon(self, worker: str) -> list[Item]:
        """What a dead worker had is for anybody: at once, or, if others have died of it before, ever later."""
        table = self._table.c
        pause = sa.case((table.tries <= 1, 0), else_=sa.func.power(2, sa.func.least(table.tries, _LONGEST)))
        due = sa.func.now() + sa.func.make_interval(0, 0, 0, 0, 0, 0, pause)
        change = sa.update(self._table).where(table.worker == worker).values(**_NOBODYS, due_at=due)
        with self._database.begin() as connection:
            return [self._item(**row._mapping) for row in connection.execute(change.returning(*self._table.c))]

    def release(self, worker: str, at_work: Collection[Item]) -> int:
        """What a worker has and is not at work on is for anybody. Gives how many that were."""
        busy = self._among([self._key_of(item) for item in at_work])
        change = sa.update(self._table).where(self._table.c.worker == worker, sa.not_(busy)).values(**_NOBODYS)
        with self._database.begin() as connection:
            return connection.execute(change).rowcount

    def _end(self, connection: sa.Connection, item: Item) -> bool:
        """It need not be done any more. Whether its worker still had it."""
        return bool(connection.execute(sa.delete(self._table).where(*self._had(item))).rowcount)

    def _return(self, connection: sa.Connection, item: Item, due_at: dt.datetime, tries: int, **fields: Any) -> bool:
        """It is to be done again, not before then; nobody has it, and so many tries count. Whether its worker still had
        it."""
        change = sa.update(self._table).where(*self._had(item))
        return bool(connection.execute(change.values(**_NOBODYS, due_at=due_at, tries=tries, **fields)).rowcount)

    def _had(self, item: Item) -> tuple[sa.ColumnElement[bool], ...]:
        """Conditions: it is there, and its worker still has it."""
        worker: str | None = getattr(item, "worker")  # noqa: B009 - of each queue's record
        return self._among([self._key_of(item)]), self._table.c.worker == worker

    def _among(self, keys: Collection[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
        return sa.tuple_(*self._key).in_(list(keys))

    def _key_of(self, item: Item) -> tuple[Any, ...]:
        return tuple(getattr(item, column.name) for column in self._key)


class Wishes(Leases[Item]):
    """A queue of what somebody has asked for, in which it is kept what became of that: a table with `finished_at`, and
    `error`, too."""

    def any(self) -> bool:
        """Whether some are not over."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(self._table.c.finished_at.is_(None)))))

    def any_due(self) -> bool:
        """Whether there may be something to take."""
        table = self._table.c
        waits = (table.worker.is_(None), table.finished_at.is_(None), table.due_at <= sa.func.now())
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(*waits))))

    def _finish(self, connection: sa.Connection, item: Item, error: Mapping[str, str] | None, **fields: Any) -> bool:
        """It was done, or cannot be. Whether its worker still had it."""
        change = sa.update(self._table).where(*self._had(item))
        over = change.values(worker=None, finished_at=sa.func.now(), error=error, **fields)
        return bool(connection.execute(over).rowcount)
