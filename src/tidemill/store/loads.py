"""Files that were loaded, and rows that were set aside."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order
from tidemill.store.records import Load, Reject
from tidemill.store.tables import loads, rejects, runs

MAX_PART = 500


class Loads:
    """The repository of loads, by the key of a file's content and of how it was read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, file_key: str, **fields: Any) -> Load:
        """The load of that file: a new one, or the one that was begun (or completed) before."""
        values = {name: storable(value) if isinstance(value, str) else value for name, value in fields.items()}
        insert = pg.insert(loads).values(id=uuid.uuid4(), file_key=file_key, status="running", **values)
        with self._database.begin() as connection:
            connection.execute(insert.on_conflict_do_nothing(index_elements=["file_key"]))
            return Load(**connection.execute(sa.select(loads).where(loads.c.file_key == file_key)).one()._mapping)

    def get(self, file_key: str) -> Load | None:
        """The load of that file, if there is one."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(loads).where(loads.c.file_key == file_key)).first()
        return Load(**row._mapping) if row else None

    def add(self, file_key: str, *, rows: int, duplicates: int, rejects: int) -> None:
        """Add to the counts of a file. Not idempotent: repeated after a crash, it counts twice."""
        change = sa.update(loads).where(loads.c.file_key == file_key)
        values = {
            "rows": loads.c.rows + rows,
            "duplicates": loads.c.duplicates + duplicates,
            "rejects": loads.c.rejects + rejects,
        }
        with self._database.begin() as connection:
            connection.execute(change.values(**values))

    def complete(self, file_key: str) -> None:
        """The whole file is in."""
        change = sa.update(loads).where(loads.c.file_key == file_key)
        with self._database.begin() as connection:
            connection.execute(change.values(status="completed", finished_at=sa.func.now()))


class Rejects:
    """The repository of rows that were set aside. Writing the same one twice leaves one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, items: Sequence[dict[str, Any]]) -> int:
        """Save rejects: dicts with source, part, kind, place, code, message, raw, whole. Gives how many were new."""
        if not items:
            return 0
        with self._database.begin() as connection:
            return insert_rejects(connection, items)

    def find(
        self, *, kind: str, code: str | None = None, source: str | None = None, limit: int | None = None, after: int = 0
    ) -> list[Reject]:
        """Unresolved ones: newest first, or, with `after`, in order from that id on."""
        order = rejects.c.id if after or limit is None else rejects.c.id.desc()
        query = sa.select(rejects).where(rejects.c.kind == kind, rejects.c.resolved_at.is_(None)).order_by(order)
        if code is not None:
            query = query.where(rejects.c.code == code)
        if source is not None:
            query = query.where(rejects.c.source == source)
        if after:
            query = query.where(rejects.c.id > after)
        if limit is not None:
            query = query.limit(limit)
        with self._database.begin() as connection:
            return [Reject(**row._mapping) for row in connection.execute(query)]

    def page_of_loads(self, code: str | None, wanted: Wanted) -> Page[Reject]:
        """Unresolved ones of files and SDKs, by pages, newest first."""
        query = sa.select(rejects).where(rejects.c.kind == "load", rejects.c.resolved_at.is_(None))
        if code is not None:
            query = query.where(rejects.c.code == code)
        order = Order([(rejects.c.id, int)], descending=True)
        return keyset.page(self._database, query, order, f"rejects of loads {code}", wanted, lambda row: Reject(**row))

    def page(self, export_id: uuid.UUID, run_id: uuid.UUID | None, code: str | None, wanted: Wanted) -> Page[Reject]:
        """Unresolved ones of an export, or of one run of it, by pages, newest first."""
        query = sa.select(rejects).where(rejects.c.kind == "run", rejects.c.resolved_at.is_(None))
        if run_id is not None:
            query = query.where(rejects.c.source == str(run_id))
        else:
            own = sa.select(sa.cast(runs.c.id, sa.Text)).where(runs.c.export_id == export_id)
            query = query.where(rejects.c.source.in_(own))
        if code is not None:
            query = query.where(rejects.c.code == code)
        which = f"rejects {export_id} {run_id} {code}"
        order = Order([(rejects.c.id, int)], descending=True)
        return keyset.page(self._database, query, order, which, wanted, lambda row: Reject(**row))

    def of_export(self, export_id: uuid.UUID) -> int:
        """How many rows that runs of an export set aside are unresolved."""
        query = sa.select(sa.func.count()).where(rejects.c.kind == "run", rejects.c.resolved_at.is_(None))
        own = sa.select(sa.cast(runs.c.id, sa.Text)).where(runs.c.export_id == export_id)
        with self._database.begin() as connection:
            return connection.scalar(query.where(rejects.c.source.in_(own))) or 0

    def reasons(self, source: str, limit: int) -> list[tuple[str, int]]:
        """Why something was set aside by one, by how often: codes and numbers."""
        number = sa.func.count()
        query = sa.select(rejects.c.code, number).where(rejects.c.source == source).group_by(rejects.c.code)
        with self._database.begin() as connection:
            found = connection.execute(query.order_by(number.desc(), rejects.c.code).limit(limit))
            return [(row[0], row[1]) for row in found]

    def sources(self, kind: str) -> list[str]:
        """What set some aside that are unresolved, in the order of their first one."""
        first = sa.func.min(rejects.c.id)
        query = sa.select(rejects.c.source).where(rejects.c.kind == kind, rejects.c.resolved_at.is_(None))
        with self._database.begin() as connection:
            return list(connection.scalars(query.group_by(rejects.c.source).order_by(first)))

    def resolve(self, ids: Sequence[int]) -> None:
        """These were taken in after all, or are not wanted: they are listed no longer."""
        with self._database.begin() as connection:
            wanted = rejects.c.id == sa.any_(sa.cast(list(ids), pg.ARRAY(sa.BigInteger)))
            connection.execute(sa.update(rejects).where(wanted).values(resolved_at=sa.func.now()))


def insert_rejects(connection: sa.Connection, items: Sequence[dict[str, Any]]) -> int:
    """Save rejects, as Rejects.add does, in somebody else's transaction. Gives how many were new."""
    if not items:
        return 0
    insert = pg.insert(rejects).on_conflict_do_nothing(index_elements=["source", "part"])
    rows = [{n: storable(v) if isinstance(v, str) else v for n, v in item.items()} for item in items]
    rows = [{**row, "part": part_of(row["part"])} for row in rows]
    return len(connection.execute(insert.returning(rejects.c.id), rows).all())


def storable(text: str) -> str:
    """A text as PostgreSQL takes it: without U+0000, and with halves of surrogate pairs written out."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def part_of(name: str) -> str:
    """The `part` of a row of that name: one that can be stored, and fits into an index."""
    part = storable(name)
    return part if len(part) <= MAX_PART else "hash:" + hashlib.blake2b(part.encode(), digest_size=16).hexdigest()
