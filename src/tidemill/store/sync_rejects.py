"""Rows that a sync could not deliver, each in its last version, until they are delivered or given up."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order
from tidemill.store.loads import storable
from tidemill.store.records_sync import Reject
from tidemill.store.tables_sync import sync_rejects as table

_AT_ONCE = 1_000


#: What is listed of U+0000, which PostgreSQL does not take; and where it may be in a text that is listed.
_NUL = "\\0"
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def listed(key: str) -> str:
    """A key as it is kept, and listed: itself, unless it has a U+0000, or what stands for one. Two keys are never
    listed as one: see `key_of`."""
    if "\0" not in key and _NUL not in key:
        return key
    return key.replace("\\", "\\\\").replace("\0", _NUL)


def key_of(text: str) -> str:
    """The key that is listed so."""
    if _NUL not in text:
        return text
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else found[1], text)


class SyncRejects:
    """The repository of such rows. `keep` and `settle` are told keys as the model has them; the rest has them as they
    are listed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, sync_id: uuid.UUID, run: int, rows: Sequence[dict[str, Any]]) -> None:
        """Keep rows (key, op, status, code, message, row, here), in place of those of the same key. Of several
        of one key, the last one is kept."""
        shared = {"sync_id": sync_id, "first_run": run, "last_run": run}
        for start in range(0, len(rows), _AT_ONCE):
            part = ({"here": False, **row, "key": listed(row["key"])} for row in rows[start : start + _AT_ONCE])
            stored = [{**shared, **_storable(row)} for row in part]
            one_a_key = {row["key"]: row for row in stored}  # a statement may meet each once
            insert = pg.insert(table).values(list(one_a_key.values()))
            changed: dict[str, Any] = {
                name: insert.excluded[name] for name in ("op", "status", "code", "message", "row", "last_run", "here")
            }
            tries = sa.case((table.c.last_run == insert.excluded.last_run, table.c.tries), else_=table.c.tries + 1)
            changed |= {"tries": tries, "last_at": sa.func.now()}
            with self._database.begin() as connection:
                connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=[table.c.sync_id, sa.func.md5(table.c.key)], set_=changed
                    )
                )

    def settle(self, sync_id: uuid.UUID, before_run: int, keys: Collection[str] | None = None) -> None:
        """Forget what a later run that was gone through did not meet again: it was delivered, or is gone. `keys`: those
        that it looked at; None: all."""
        gone = sa.delete(table).where(table.c.sync_id == sync_id, table.c.last_run < before_run)
        if keys is not None:
            gone = gone.where(table.c.key.in_([listed(key) for key in keys]))
        with self._database.begin() as connection:
            connection.execute(gone)

    def forget(self, sync_id: uuid.UUID, keys: Collection[str] | None = None) -> int:
        """Forget these, or all."""
        gone = sa.delete(table).where(table.c.sync_id == sync_id)
        if keys is not None:
            gone = gone.where(table.c.key.in_(list(keys)))
        with self._database.begin() as connection:
            return connection.execute(gone).rowcount

    def known(self, sync_id: uuid.UUID, keys: Collection[str]) -> list[Reject]:
        """Those of these keys that there are, by key."""
        wanted = [storable(key) for key in keys]
        query = sa.select(table).where(table.c.sync_id == sync_id, table.c.key.in_(wanted)).order_by(table.c.key)
        with self._database.begin() as connection:
            return [Reject(**row._mapping) for row in connection.execute(query)]

    def count(self, sync_id: uuid.UUID) -> dict[str, int]:
        """How many there are, by status."""
        query = sa.select(table.c.status, sa.func.count()).where(table.c.sync_id == sync_id).group_by(table.c.status)
        with self._database.begin() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def any_to_try(self, sync_id: uuid.UUID) -> bool:
        """Whether there are some that may be taken though neither they nor the mapping have changed: not those that are
        refused before they are sent, and not those whose keys are wrong."""
        may_pass = sa.and_(table.c.status != "invalid", sa.or_(table.c.status == "retry", sa.not_(table.c.here)))
        query = sa.select(sa.exists().where(table.c.sync_id == sync_id, may_pass))
        with self._database.begin() as connection:
            return bool(connection.scalar(query))

    def refused(self, sync_id: uuid.UUID, run: int) -> list[tuple[str, str, int]]:
        """Codes, each with a message and how many rows have it; the most frequent first. Of rows that this run was the
        first to meet, and that it need not be tried again with: they were refused, or have no key."""
        number = sa.func.count()
        query = sa.select(table.c.code, sa.func.min(table.c.message), number)
        query = query.where(table.c.sync_id == sync_id, table.c.first_run == run, table.c.status != "retry")
        with self._database.begin() as connection:
            found = connection.execute(query.group_by(table.c.code).order_by(number.desc()))
            return [(str(row[0]), str(row[1]), int(row[2])) for row in found]

    def find(
        self, sync_id: uuid.UUID, *, text: str | None = None, code: str | None = None, limit: int | None = None
    ) -> Iterator[Reject]:
        """Those of a sync, by key; only with that text in the key or the message, or of that code."""
        after: str | None = None
        left = limit
        while left is None or left > 0:
            query = sa.select(table).where(table.c.sync_id == sync_id).order_by(table.c.key)
            if after is not None:
                query = query.where(table.c.key > after)
            if code is not None:
                query = query.where(table.c.code == code)
            if text is not None:
                query = query.where(sa.or_(table.c.key.contains(text, autoescape=True), _has(text)))
            with self._database.begin() as connection:
                found = [
                    Reject(**row._mapping) for row in connection.execute(query.limit(min(left or _AT_ONCE, _AT_ONCE)))
                ]
            yield from found
            if len(found) < _AT_ONCE:
                return
            after = found[-1].key
            left = None if left is None else left - len(found)

    def page(self, sync_id: uuid.UUID, text: str | None, code: str | None, wanted: Wanted) -> Page[Reject]:
        """The same by pages."""
        query = sa.select(table).where(table.c.sync_id == sync_id)
        if code is not None:
            query = query.where(table.c.code == code)
        if text is not None:
            query = query.where(sa.or_(table.c.key.contains(text, autoescape=True), _has(text)))
        which = f"sync-rejects {sync_id} {text!r} {code!r}"
        return keyset.page(
            self._database, query, Order(((table.c.key, str),)), which, wanted, lambda row: Reject(**row)
        )


def _has(text: str) -> sa.ColumnElement[bool]:
    return sa.func.strpos(sa.func.lower(table.c.message), text.lower()) > 0


def _storable(value: Any) -> Any:
    """A value with texts that PostgreSQL takes."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(name)): _storable(item) for name, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value
