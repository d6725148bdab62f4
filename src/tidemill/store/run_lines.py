"""The lines that runs tell: kept in small batches, found by what they say, and pruned by age and by number."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tidemill import paging
from tidemill.logbook import LEVELS, Line
from tidemill.paging import Page
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order
from tidemill.store.loads import storable
from tidemill.store.records import RunLine
from tidemill.store.tables import runs
from tidemill.store.tables_seeing import run_lines as table
from tidemill.store.tables_sync import sync_runs

#: Of a run, the newest so many lines are kept; and as many warnings and errors beside them.
MOST = 2_000
_WARNING = LEVELS["warning"]
_NAMES = {number: name for name, number in LEVELS.items()}
#: Lines that are deleted in one transaction.
_PRUNED_AT_ONCE = 5_000


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which lines. `level`: of so much weight, or more; `search`: the text is in the message, the step or a field,
    whatever its case; the newest `limit` of them."""

    level: str = "debug"
    step: str | None = None
    search: str | None = None
    since: dt.datetime | None = None
    limit: int = 1_000


class RunLines:
    """The repository of lines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, lines: Sequence[Line]) -> None:
        """Keep them."""
        with self._database.begin() as connection:
            connection.execute(sa.insert(table), [_row(line) for line in lines])

    def of_run(self, run_id: uuid.UUID, wanted: Wanted) -> list[RunLine]:
        """Those of a run, in order."""
        return self._find(table.c.run_id == run_id, wanted)

    def of_export(
        self, export_id: uuid.UUID, run_id: uuid.UUID | None, begun: dt.datetime | None, wanted: Wanted
    ) -> list[RunLine]:
        """Those of an export that belong to no run, from `begun` on, and those of this run of it, in order."""
        own = table.c.export_id == export_id
        if begun is not None:
            own &= table.c.at >= begun
        return self._find(own | (table.c.run_id == run_id) if run_id else own, wanted)

    def page(self, run_id: uuid.UUID, wanted: Wanted, place: paging.Wanted) -> Page[RunLine]:
        """Those of a run by pages, in the order in which they were kept, whatever their `limit`."""
        query, order = _chosen(table.c.run_id == run_id, wanted), Order([(table.c.id, int)])
        which = f"run lines {run_id} {wanted.level} {wanted.step} {wanted.search}"
        return keyset.page(self._database, query, order, which, place, _line)

    def _find(self, which: sa.ColumnElement[bool], wanted: Wanted) -> list[RunLine]:
        query = _chosen(which, wanted).order_by(table.c.at.desc(), table.c.id.desc()).limit(wanted.limit)
        with self._database.begin() as connection:
            found = [_line(row._mapping) for row in connection.execute(query)]
        return found[::-1]

    def last_telling(self, export_id: uuid.UUID) -> tuple[uuid.UUID | None, dt.datetime | None]:
        """The newest run of an export that had something to do, for those of empty intervals tell nothing; and when the
        one before it was over."""
        busy = (runs.c.status != "completed") | (runs.c.rows_planned > 0)
        query = sa.select(runs.c.id, runs.c.number).where(runs.c.export_id == export_id, runs.c.backfill_id.is_(None))
        with self._database.begin() as connection:
            last = connection.execute(query.where(busy).order_by(runs.c.number.desc()).limit(1)).first()
            if last is None:
                return None, None
            before = (runs.c.export_id == export_id, runs.c.number == last.number - 1)
            return last.id, connection.scalar(sa.select(runs.c.finished_at).where(*before))

    def trim(self, owner: uuid.UUID) -> None:
        """Keep the newest lines of a run, or of an export, and the newest warnings and errors."""
        with self._database.begin() as connection:
            for weight in (table.c.level < _WARNING, table.c.level >= _WARNING):
                own = (table.c.run_id == owner) | (table.c.export_id == owner)
                newest = sa.select(table.c.id).where(own, weight).order_by(table.c.id.desc())
                last = newest.offset(MOST).limit(1).scalar_subquery()
                connection.execute(sa.delete(table).where(own, weight, table.c.id <= last))

    def prune(self, before: dt.datetime, pieces: int | None = None) -> int:
        """Delete what is older, in so many pieces at most. Gives how many lines that were. Several processes may do so
        at once.

        They are looked at in the order in which they came: that is the order of their age, but for seconds.
        """
        oldest = sa.select(table.c.id, table.c.at).order_by(table.c.id).limit(_PRUNED_AT_ONCE)
        oldest = oldest.with_for_update(skip_locked=True)
        number = 0
        for _ in itertools.count() if pieces is None else range(pieces):
            found = oldest.cte("oldest")
            old = sa.select(found.c.id).where(found.c.at < before)
            with self._database.begin() as connection:
                gone = connection.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount
            number += gone
            if gone < _PRUNED_AT_ONCE:
                break
        return number


def _chosen(which: sa.ColumnElement[bool], wanted: Wanted) -> sa.Select[Any]:
    query = sa.select(table).where(which, table.c.level >= LEVELS[wanted.level])
    if wanted.step is not None:
        query = query.where(table.c.step == wanted.step)
    if wanted.since is not None:
        query = query.where(table.c.at >= wanted.since)
    if wanted.search:
        told = table.c.message + " " + table.c.step + " " + sa.cast(table.c.fields, sa.Text)
        query = query.where(sa.func.strpos(sa.func.lower(told), sa.func.lower(wanted.search)) > 0)
    return query


def forget(connection: sa.Connection, export_id: uuid.UUID) -> None:
    """An export is about to be deleted: what it and its runs have told, too."""
    own = sa.select(runs.c.id).where(runs.c.export_id == export_id)
    connection.execute(sa.delete(table).where(table.c.run_id.in_(own)))
    connection.execute(sa.delete(table).where(table.c.export_id == export_id))


def forget_sync(connection: sa.Connection, sync_id: uuid.UUID) -> None:
    """A sync is about to be deleted: what its runs have told, too."""
    own = sa.select(sync_runs.c.id).where(sync_runs.c.sync_id == sync_id)
    connection.execute(sa.delete(table).where(table.c.run_id.in_(own)))


def _row(line: Line) -> dict[str, Any]:
    fields = {name: storable(value) if isinstance(value, str) else value for name, value in line.fields.items()}
    said = {"step": storable(line.step), "message": storable(line.message), "fields": fields}
    told = {"run_id": line.run_id, "export_id": line.export_id, "attempt": line.attempt, "process": line.process}
    return {"at": line.at, "level": LEVELS[line.level], **said, **told}


def _line(row: Any) -> RunLine:
    return RunLine(**{**row, "level": _NAMES.get(row["level"], str(row["level"]))})
