"""Runs of dbt Cloud, as a webhook told of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables_dbt import dbt_cloud_runs as table

#: How long is kept what was told. An event that is older is not taken: nobody would know it again.
KEPT = dt.timedelta(days=90)
#: For so long nobody else takes one that somebody is at work on.
_TAKEN = dt.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True)
class CloudRun:
    """A run of dbt Cloud. `next_at`: when it is seen to, None if it has been; `syncs`: which were triggered by it, and
    why others were not; `note`: what came of it."""

    id: uuid.UUID
    project_id: uuid.UUID
    account: str
    run: str
    job: str
    status: str
    told_at: dt.datetime
    next_at: dt.datetime | None
    tries: int
    syncs: list[dict[str, Any]]
    note: str


class DbtCloudRuns:
    """The repository of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, project_id: uuid.UUID, account: str, run: str, *, job: str, status: str, note: str = "") -> bool:
        """Write down that one is over; whether that was news. With a note there is nothing to do about it."""
        values = {"id": uuid.uuid4(), "project_id": project_id, "account": account, "run": run, "job": job}
        values |= {"status": status, "note": note, "next_at": None if note else sa.func.now()}
        insert = pg.insert(table).values(values).on_conflict_do_nothing().returning(table.c.id)
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.told_at < sa.func.now() - KEPT))
            return connection.execute(insert).first() is not None

    def any_due(self) -> bool:
        """Whether there is one to be seen to."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(_due().with_only_columns(table.c.id)))))

    def take_due(self) -> CloudRun | None:
        """One that is to be seen to, for whoever asks first. Who does not come to its end leaves it to others."""
        which = _due().with_only_columns(table.c.id).order_by(table.c.next_at).limit(1)
        which = which.with_for_update(skip_locked=True)
        change = sa.update(table).where(table.c.id == which.scalar_subquery())
        change = change.values(next_at=sa.func.now() + _TAKEN, tries=table.c.tries + 1)
        with self._database.begin() as connection:
            row = connection.execute(change.returning(table)).first()
        return CloudRun(**row._mapping) if row else None

    def later(self, run_id: uuid.UUID, pause: dt.timedelta, syncs: Sequence[dict[str, Any]], note: str) -> None:
        """Have one seen to again after a pause, and say why."""
        self._change(run_id, next_at=sa.func.now() + pause, syncs=list(syncs), note=note)

    def finish(self, run_id: uuid.UUID, syncs: Sequence[dict[str, Any]], note: str) -> None:
        """There is no more to do about one."""
        self._change(run_id, next_at=None, syncs=list(syncs), note=note)

    def of_project(self, project_id: uuid.UUID, limit: int) -> list[CloudRun]:
        """The last ones of a project, the newest first."""
        query = sa.select(table).where(table.c.project_id == project_id).order_by(table.c.told_at.desc()).limit(limit)
        with self._database.begin() as connection:
            return [CloudRun(**row._mapping) for row in connection.execute(query)]

    def _change(self, run_id: uuid.UUID, **values: Any) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.update(table).where(table.c.id == run_id).values(values))


def _due() -> sa.Select[Any]:
    return sa.select(table).where(table.c.next_at <= sa.func.now())
