"""Runs of syncs, and their journal: what became of which row, as soon as that is known."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql import Range

from tidemill.errors import ConflictError, NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.store import connections, keyset, sync_totals
from tidemill.store.database import Database
from tidemill.store.keyset import Sorts
from tidemill.store.records_sync import SyncRun, group_of
from tidemill.store.tables_sync import sync_calls as calls
from tidemill.store.tables_sync import sync_runs as table
from tidemill.store.tables_sync import syncs

_SORTS = Sorts({"began_at": (table.c.began_at, dt.datetime)}, (table.c.id, uuid.UUID), own="-began_at")
#: How runs end that were not gone through.
_STOPPED = {"failed", "cancelled"}


@dataclasses.dataclass(frozen=True)
class Call:
    """What became of rows of a piece, by their positions in it. `others`: those that were not written: position,
    status, code, message, whether it may be there all the same. Without positions it says that a process is at the
    piece, or has died at it."""

    piece: int
    positions: Sequence[int]
    others: Sequence[tuple[int, str, str, str, bool]]

    @property
    def written(self) -> int:
        """How many were written."""
        return len(self.positions) - len(self.others)


class SyncRuns:
    """The repository of runs of syncs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, sync_id: uuid.UUID, spec: dict[str, Any], by: str) -> SyncRun:
        """A new run.

        Raises
        ------
        ConflictError
            One of the sync is running; or its connection is being deleted.
        """
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0)).where(table.c.sync_id == sync_id)
        values = {"id": uuid.uuid4(), "sync_id": sync_id, "status": "running", "step": "plan", "spec": spec}
        number = last.scalar_subquery() + 1
        statement = sa.insert(table).values(**values, began_by=by, number=number).returning(*table.c)
        try:
            with self._database.begin() as connection:
                connections.assert_kept(connection, connections.of_sync(sync_id))
                run = SyncRun(**connection.execute(statement).one()._mapping)
                sync_totals.begun(connection, sync_id, run.began_at)
                return run
        except exc.IntegrityError:
            raise ConflictError(
                "sync_running",
                "A run of this sync is running.",
                hint=f"Wait for it, or cancel it: tidemill {group_of(spec.get('sync', {}))} cancel NAME",
            ) from None

    def running(self, sync_id: uuid.UUID) -> SyncRun | None:
        """The run that is not over; None if there is none."""
        return self._first(sa.select(table).where(table.c.sync_id == sync_id, table.c.status == "running"))

    def _first(self, query: sa.Select[Any]) -> SyncRun | None:
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        return SyncRun(**row._mapping) if row else None

    def get(self, run_id: uuid.UUID) -> SyncRun:
        """The run with that id."""
        return self._known(self._first(sa.select(table).where(table.c.id == run_id)))

    def numbered(self, sync_id: uuid.UUID, number: int) -> SyncRun:
        """The run of a sync with that number."""
        run = self._first(sa.select(table).where(table.c.sync_id == sync_id, table.c.number == number))
        return self._known(run, f"There is no run {number}.")

    def of_operation(self, sync_id: uuid.UUID, operation: str) -> SyncRun | None:
        """The run of a sync that was begun for an operation; None if there is none."""
        known = table.c.spec["operation"].astext == operation
        return self._first(sa.select(table).where(table.c.sync_id == sync_id, known))

    @staticmethod
    def _known(run: SyncRun | None, said: str = "There is no such run.") -> SyncRun:
        if run is None:
            raise NotFoundError("sync_run_unknown", said, hint="See which there are: tidemill sync runs")
        return run

    def find(self, sync_id: uuid.UUID | None = None, *, limit: int = 20) -> list[SyncRun]:
        """The last runs, of all syncs or of one; the newest first."""
        query = sa.select(table).order_by(table.c.began_at.desc()).limit(limit)
        if sync_id is not None:
            query = query.where(table.c.sync_id == sync_id)
        with self._database.begin() as connection:
            return [SyncRun(**row._mapping) for row in connection.execute(query)]

    def page(self, sync_id: uuid.UUID | None, status: str | None, wanted: Wanted) -> Page[SyncRun]:
        """Runs of a sync, or of all, by pages, the newest first, or by `began_at`; only such that stand like that."""
        query = sa.select(table)
        if sync_id is not None:
            query = query.where(table.c.sync_id == sync_id)
        if status is not None:
            query = query.where(table.c.status == status)
        which = f"sync-runs {sync_id} {status}"
        return keyset.listed(self._database, query, _SORTS, which, wanted, lambda row: SyncRun(**row))

    def last_telling(self, sync_id: uuid.UUID) -> SyncRun | None:
        """The newest run of a sync that had something to do, for others tell nothing."""
        query = sa.select(table).where(table.c.sync_id == sync_id, table.c.status != "skipped")
        return self._first(query.order_by(table.c.number.desc()).limit(1))

    def planned(self, sync_id: uuid.UUID, before: int, limit: int) -> list[int]:
        """How many rows the last runs had to deliver that are completed, of those before that number; the newest
        first."""
        query = sa.select(table.c.plan["pieces"]).where(table.c.sync_id == sync_id, table.c.status == "completed")
        query = query.where(sa.not_(table.c.spec.has_key("only")))  # of some rows that somebody chose
        query = query.where(table.c.number < before).order_by(table.c.number.desc()).limit(limit)
        with self._database.begin() as connection:
            found: list[list[dict[str, int]] | None] = list(connection.scalars(query))
            return [sum(piece["rows"] for piece in pieces or ()) for pieces in found]

    def note(self, run_id: uuid.UUID, **fields: Any) -> None:
        """Record something of a run that is not over."""
        with self._database.begin() as connection:
            change = sa.update(table).where(table.c.id == run_id, table.c.status == "running")
            connection.execute(change.values(**fields))

    def journal(self, run_id: uuid.UUID, call: Call) -> None:
        """Keep what became of rows."""
        rejected = sum(1 for other in call.others if other[1] == "rejected")
        counts = {
            "written": table.c.written + call.written,
            "rejected": table.c.rejected + rejected,
            "to_retry": table.c.to_retry + len(call.others) - rejected,
        }
        values = {"run_id": run_id, "piece": call.piece, "positions": _ranges(call.positions)}
        with self._database.begin() as connection:
            connection.execute(sa.insert(calls).values(**values, others=[list(other) for other in call.others]))
            connection.execute(sa.update(table).where(table.c.id == run_id).values(**counts))

    def enter(self, run_id: uuid.UUID, piece: int) -> int:
        """A process begins to send rows of a piece. Gives what `leave` is told."""
        values = {"run_id": run_id, "piece": piece, "positions": [], "others": []}
        with self._database.begin() as connection:
            return int(connection.execute(sa.insert(calls).values(**values).returning(calls.c.number)).scalar_one())

    def leave(self, entered: int) -> None:
        """It has kept all that it knows of the piece's rows."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(calls).where(calls.c.number == entered))

    def calls(self, run_id: uuid.UUID, piece: int) -> list[Call]:
        """What became of rows of a piece."""
        query = sa.select(calls).where(calls.c.run_id == run_id, calls.c.piece == piece).order_by(calls.c.number)
        with self._database.begin() as connection:
            return [
                Call(row.piece, _positions(row.positions), [(*other,) for other in row.others])
                for row in connection.execute(query)
            ]

    def request_cancel(self, run_id: uuid.UUID) -> None:
        """Ask who moves a run to stop."""
        self.note(run_id, cancel_requested=True)

    def cancel_requested(self, run_id: uuid.UUID) -> bool:
        """Whether somebody asked for it."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(table.c.cancel_requested).where(table.c.id == run_id)))

    def finish(self, run_id: uuid.UUID, status: str, error: dict[str, str] | None = None) -> SyncRun:
        """The run is over; its journal is forgotten. One that did not come to the end of its plan says nothing of what
        was seen before, either: the next one looks again, though no table has changed."""
        values = {"status": status, "step": "done", "error": error, "finished_at": sa.func.now()}
        with self._database.begin() as connection:
            change = sa.update(table).where(table.c.id == run_id, table.c.status == "running").values(**values)
            if connection.execute(change).rowcount:
                sync_totals.count(connection, run_id)
                if status in _STOPPED:
                    of_run = sa.select(table.c.sync_id).where(table.c.id == run_id).scalar_subquery()
                    connection.execute(sa.update(syncs).where(syncs.c.id == of_run).values(seen=None))
            connection.execute(sa.delete(calls).where(calls.c.run_id == run_id))
            return SyncRun(**connection.execute(sa.select(table).where(table.c.id == run_id)).one()._mapping)


def _ranges(positions: Iterable[int]) -> list[Range[int]]:
    """Positions as ranges: most calls are of rows that follow one another."""
    found: list[Range[int]] = []
    for position in sorted(positions):
        if found and found[-1].upper == position:
            found[-1] = Range(found[-1].lower, position + 1)
        else:
            found.append(Range(position, position + 1))
    return found


def _positions(ranges: Iterable[Range[int]]) -> list[int]:
    return [number for one in ranges for number in range(one.lower or 0, one.upper or 0)]
