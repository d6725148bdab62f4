"""Source models, accounts of destinations, and syncs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql as pg

from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.store import run_lines, sync_states, troubles
from tidemill.store import tables_sync as tables
from tidemill.store.database import Database
from tidemill.store.locks import key
from tidemill.store.named import Named
from tidemill.store.records import Connection
from tidemill.store.records_notify import Alarm, Cause
from tidemill.store.records_sync import Account, Source, SourceModel, Sync
from tidemill.store.sync_triggers import waiting


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a run says of its sync: troubles of these causes are over; others have come up."""

    over: tuple[Cause, ...] = ()
    alarms: tuple[Alarm, ...] = ()


class Sources:
    """The repository of sources: connections that rows are read from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, connection_id: uuid.UUID, **fields: Any) -> Source:
        """Make a connection a source, or change how it is one."""
        table = tables.sources
        changed = {name: value for name, value in fields.items() if name not in {"made_at", "made_by"}}
        statement = pg.insert(table).values(connection_id=connection_id, **fields)
        statement = statement.on_conflict_do_update(index_elements=[table.c.connection_id], set_=changed)
        with self._database.begin() as connection:
            return Source(**connection.execute(statement.returning(*table.c)).one()._mapping)

    def get(self, connection_id: uuid.UUID) -> Source | None:
        """How a connection is a source; None if it is none."""
        query = sa.select(tables.sources).where(tables.sources.c.connection_id == connection_id)
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        return Source(**row._mapping) if row else None

    def of(self, connected: Connection) -> Source:
        """How a connection is a source.

        Raises
        ------
        ConfigError
            It is none.
        """
        found = self.get(connected.id)
        if found is None:
            raise ConfigError(
                "no_source",
                f"The connection {connected.name} is no source yet.",
                hint=f"Say how rows may be read from it: tidemill reverse-etl enable {connected.name}",
            )
        return found

    def find(self) -> list[Source]:
        """All, oldest first."""
        with self._database.begin() as connection:
            found = connection.execute(sa.select(tables.sources).order_by(tables.sources.c.made_at))
            return [Source(**row._mapping) for row in found]

    def delete(self, connection_id: uuid.UUID) -> None:
        """A connection is no source any more.

        Raises
        ------
        ConflictError
            Models use it.
        """
        try:
            with self._database.begin() as connection:
                connection.execute(sa.delete(tables.sources).where(tables.sources.c.connection_id == connection_id))
        except exc.IntegrityError:
            raise ConflictError(
                "source_in_use",
                "Source models use it.",
                hint="Delete them first: tidemill model list, tidemill model delete NAME",
            ) from None


class SourceModels(Named[SourceModel]):
    """The repository of source models."""

    table, record, what, command = tables.source_models, SourceModel, "source model", "model"
    held = ("syncs", "tidemill sync list, tidemill sync delete NAME")

    def of_connection(self, connection_id: uuid.UUID) -> list[SourceModel]:
        """Those of a source, by name."""
        query = sa.select(self.table).where(self.table.c.connection_id == connection_id)
        with self._database.begin() as connection:
            found = connection.execute(query.order_by(sa.func.lower(self.table.c.name)))
            return [self._made(row) for row in found]

    def of_dbt(self, project_id: uuid.UUID) -> list[SourceModel]:
        """Those that are made of a dbt project, by name."""
        query = sa.select(self.table).where(self.table.c.spec["dbt"]["project"].astext == str(project_id))
        with self._database.begin() as connection:
            found = connection.execute(query.order_by(sa.func.lower(self.table.c.name)))
            return [self._made(row) for row in found]


class Accounts(Named[Account]):
    """The repository of accounts of destinations."""

    table, record, what, command = tables.destinations, Account, "destination", "destination"
    held = ("syncs", "tidemill sync list, tidemill sync delete NAME")


def _awaits_people() -> sa.ColumnElement[bool]:
    """Whether a sync imports events of a connection from which people are due, or on their way: these come first."""
    mine, theirs = tables.syncs, tables.syncs.alias("people")
    models, of_theirs = tables.source_models.alias("model"), tables.source_models.alias("people_model")
    at_work = sa.or_(theirs.c.worker.is_not(None), theirs.c.next_at <= sa.func.now())
    kinds = (_imports(mine) == "events", _imports(theirs) == "people")
    same = models.c.connection_id == of_theirs.c.connection_id
    joined = (models.c.id == mine.c.model_id, of_theirs.c.id == theirs.c.model_id)
    found = sa.select(sa.literal(1)).select_from(theirs, models, of_theirs).correlate(mine)
    return found.where(*kinds, *joined, same, at_work, theirs.c.paused_at.is_(None)).exists()


def _imports(syncs: Any) -> sa.ColumnElement[str | None]:
    """What a sync imports."""
    kind: sa.ColumnElement[str | None] = syncs.c.spec["taken"]["spec"]["kind"].astext
    return kind


class Syncs(Named[Sync]):
    """The repository of syncs, which are their own queue: one that is due is taken by one worker."""

    table, record, what, command = tables.syncs, Sync, "sync", "sync"
    makes = "create"

    def of_model(self, model_id: uuid.UUID) -> list[Sync]:
        """Those of a source model."""
        return self._where(self.table.c.model_id == model_id)

    def to_destination(self, destination_id: uuid.UUID) -> list[Sync]:
        """Those that deliver to a destination."""
        return self._where(self.table.c.destination_id == destination_id)

    def delete(self, thing_id: uuid.UUID, *, as_of: dt.datetime | None = None) -> None:
        """See Named. What its runs have told goes, too."""
        with self._database.begin() as connection:
            if connection.scalar(
                sa.select(self.table.c.id).where(self.table.c.id == thing_id, *self._unchanged(as_of))
            ):
                run_lines.forget_sync(connection, thing_id)
        super().delete(thing_id, as_of=as_of)

    def _where(self, condition: sa.ColumnElement[bool]) -> list[Sync]:
        with self._database.begin() as connection:
            query = sa.select(self.table).where(condition).order_by(sa.func.lower(self.table.c.name))
            return [Sync(**row._mapping) for row in connection.execute(query)]

    def now(self) -> dt.datetime:
        """The time by the database's clock."""
        with self._database.begin() as connection:
            return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()

    def any(self) -> bool:
        """Whether there is one that is run by itself, or by a worker."""
        which = sa.or_(self.table.c.next_at.is_not(None), self.table.c.worker.is_not(None))
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(self.table.c.id).where(which)))))

    def any_due(self) -> bool:
        """Whether there may be one to take."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(self.table.c.id).where(*self._due())))))

    def _due(self) -> tuple[sa.ColumnElement[bool], ...]:
        table = self.table
        ready = (table.c.next_at <= sa.func.now(), table.c.worker.is_(None), table.c.paused_at.is_(None))
        return (*ready, ~_awaits_people())

    def take(self, worker: str, limit: int) -> list[Sync]:
        """Have a worker take up to so many that are due, the longest ago first."""
        with self._database.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key("syncs"))))
            which = sa.select(self.table.c.id).where(*self._due()).order_by(self.table.c.next_at).limit(limit)
            change = sa.update(self.table).where(self.table.c.id.in_(which))
            taken = connection.execute(
                change.values(worker=worker, tries=self.table.c.tries + 1).returning(*self.table.c)
            )
            return [Sync(**row._mapping) for row in taken]

    def done(self, sync: Sync, next_at: dt.datetime | None, verdict: Verdict | None = None, **fields: Any) -> None:
        """Its run is over, if this worker still has it: it is due again then. `verdict`: what is told of that.

        Who triggered it since the run was over gets another one, at once.
        """
        mine = (self.table.c.id == sync.id, self.table.c.worker == sync.worker)
        with self._database.begin() as connection:
            troubles.hold(connection, sync.id)
            held = sa.select(self.table.c.id).where(*mine).with_for_update(key_share=True)
            connection.execute(held)  # who triggers it waits
            if not fields.get("tries", sync.tries) and connection.execute(waiting(sync.id)).first() is not None:
                fields["next_at"] = sa.func.now()
            values = {"worker": None, "next_at": next_at, **fields}
            change = sa.update(self.table).where(*mine).values(values)
            if connection.execute(change).rowcount and verdict is not None:
                _tell(connection, sync.id, verdict)

    def tell(self, sync_id: uuid.UUID, verdict: Verdict) -> None:
        """Have people told what a run says that somebody began."""
        with self._database.begin() as connection:
            troubles.hold(connection, sync_id)
            _tell(connection, sync_id, verdict)

    def overdue(self, late: dt.timedelta) -> list[Sync]:
        """Those that were due so long ago, and that nobody has begun. Where no worker has ever run, syncs are run by
        hand, and nothing is."""
        return self._where(sync_states.is_late(late))

    def workers(self) -> list[str]:
        """Who has some."""
        with self._database.begin() as connection:
            query = sa.select(self.table.c.worker).distinct().where(self.table.c.worker.is_not(None))
            found: list[str | None] = list(connection.scalars(query))
            return [worker for worker in found if worker]

    def abandon(self, worker: str) -> list[Sync]:
        """What a dead worker had is for anybody, at once."""
        change = sa.update(self.table).where(self.table.c.worker == worker)
        with self._database.begin() as connection:
            left = connection.execute(change.values(worker=None, next_at=sa.func.now()).returning(*self.table.c))
            return [Sync(**row._mapping) for row in left]

    def release(self, worker: str, at_work: list[uuid.UUID]) -> int:
        """What a worker has, and is not at work on, is for anybody."""
        mine = (self.table.c.worker == worker, self.table.c.id.not_in(at_work))
        return self._change({"worker": None, "next_at": sa.func.now()}, *mine)

    def _change(self, values: dict[str, Any], *which: sa.ColumnElement[bool]) -> int:
        with self._database.begin() as connection:
            return connection.execute(sa.update(self.table).where(*which).values(**values)).rowcount

    def pause(self, sync_id: uuid.UUID, by: str, reason: dict[str, str] | None, alarm: Alarm | None = None) -> bool:
        """It is not run by itself any more. Whether it was not paused already. `alarm`: what is told of it."""
        values = {"paused_at": sa.func.now(), "paused_by": by, "pause_reason": reason}
        change = sa.update(self.table).where(self.table.c.id == sync_id, self.table.c.paused_at.is_(None))
        with self._database.begin() as connection:
            troubles.hold(connection, sync_id)
            done = bool(connection.execute(change.values(**values)).rowcount)
            if done and alarm is not None:
                troubles.seen(connection, sync_id, alarm)
            return done

    def settle(self, sync_id: uuid.UUID, **fields: Any) -> None:
        """Change what is known of one. NotFoundError if it was deleted."""
        if not self._change(fields, self.table.c.id == sync_id):
            raise NotFoundError("sync_unknown", "The sync was deleted.", hint="tidemill sync list")


def _tell(connection: sa.Connection, sync_id: uuid.UUID, verdict: Verdict) -> None:
    """Within the transaction of what it is about."""
    if verdict.over:
        troubles.over(connection, sync_id, verdict.over)
    for alarm in verdict.alarms:
        troubles.seen(connection, sync_id, alarm)
