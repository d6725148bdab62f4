"""Runs of syncs that somebody wants beside their schedule. The queue is that of syncs: what is wanted is due.

A trigger names a run by its number: the one that is not over, or the next one; of those that want a run anew it is
always the next one. It waits as long as there is no run of that number, and nothing says why there is none.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.store.database import Database
from tidemill.store.records_sync import group_of
from tidemill.store.tables_api import sync_triggers as table
from tidemill.store.tables_sync import sync_runs, syncs

#: How long the same Idempotency-Key means the same call; and how long is kept what was asked for.
_SAME, _KEPT = dt.timedelta(days=1), dt.timedelta(days=30)


@dataclasses.dataclass(frozen=True)
class Once:
    """By what a call is known that is made again: whose it is, and the hash of its key."""

    token_id: uuid.UUID
    key_hash: bytes


@dataclasses.dataclass(frozen=True)
class Trigger:
    """What was asked for. `number`: of the run; `already`: whether that was at work, or waited; `error`: why it could
    not begin."""

    id: uuid.UUID
    sync_id: uuid.UUID
    number: int
    already: bool
    forced: bool
    by: str
    at: dt.datetime
    token_id: uuid.UUID | None
    key_hash: bytes | None = dataclasses.field(repr=False)
    error: dict[str, str] | None


def last_number(sync_id: Any) -> sa.ScalarSelect[int]:
    """The number of the last run of a sync; 0 if it has none."""
    query = sa.select(sa.func.coalesce(sa.func.max(sync_runs.c.number), 0)).where(sync_runs.c.sync_id == sync_id)
    return query.scalar_subquery()


def waiting(sync_id: Any) -> sa.Select[Any]:
    """Triggers of a sync whose run there is not, the first one first."""
    still = (table.c.sync_id == sync_id, table.c.error.is_(None), table.c.number > last_number(sync_id))
    return sa.select(table).where(*still).order_by(table.c.at)


class SyncTriggers:
    """The repository of triggers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, sync_id: uuid.UUID, by: str, *, forced: bool, anew: bool, at_hand: Callable[[], bool], once: Once | None
    ) -> Trigger:
        """Have a sync run as soon as a worker can; or say which run it has already. `anew`: a run that is at work
        does not count: another one comes after it.

        `at_hand`: tells of a run that no worker has whether somebody is at it: nobody is to begin one beside that.

        Raises
        ------
        ConflictError
            It is paused.
        ConfigError
            The key was used for another call.
        NotFoundError
            It was deleted.
        """
        try:
            with self._database.begin() as connection:
                # Who begins a run by hand waits for this, too: a new run has a foreign key.
                sync = connection.execute(sa.select(syncs).where(syncs.c.id == sync_id).with_for_update()).first()
                if sync is None:
                    raise NotFoundError("sync_unknown", "The sync was deleted.", hint="tidemill sync list")
                if once is not None and (before := _before(connection, once)) is not None:
                    if (before.sync_id, before.forced) != (sync_id, forced):
                        raise _reused()
                    return before
                return _added(connection, sync, by, forced=forced, anew=anew, at_hand=at_hand, once=once)
        except exc.IntegrityError:  # at this moment, of another sync
            raise _reused() from None

    def waiting(self, sync_id: uuid.UUID) -> list[Trigger]:
        """Those whose run there is not, the first one first."""
        with self._database.begin() as connection:
            return [Trigger(**row._mapping) for row in connection.execute(waiting(sync_id))]

    def of_run(self, sync_id: uuid.UUID, number: int) -> Trigger | None:
        """The last trigger of a run; None if there was none."""
        query = sa.select(table).where(table.c.sync_id == sync_id, table.c.number == number)
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(table.c.at.desc()).limit(1)).first()
        return Trigger(**row._mapping) if row else None

    def fail(self, sync_id: uuid.UUID, error: dict[str, str]) -> None:
        """The run of those that wait could not begin, and nobody tries it again."""
        which = sa.select(waiting(sync_id).with_only_columns(table.c.id).order_by(None).subquery().c.id)
        with self._database.begin() as connection:
            connection.execute(sa.update(table).where(table.c.id.in_(which)).values(error=error))


def _before(connection: sa.Connection, once: Once) -> Trigger | None:
    """The same call, made before; one that is long ago is forgotten."""
    same = (table.c.token_id == once.token_id, table.c.key_hash == once.key_hash)
    over = sa.update(table).where(*same, table.c.at < sa.func.now() - _SAME).values(key_hash=None)
    connection.execute(over)
    row = connection.execute(sa.select(table).where(*same)).first()
    return Trigger(**row._mapping) if row else None


def _added(
    connection: sa.Connection,
    sync: Any,
    by: str,
    *,
    forced: bool,
    anew: bool,
    at_hand: Callable[[], bool],
    once: Once | None,
) -> Trigger:
    if sync.paused_at is not None:
        group = group_of(sync.spec)
        raise ConflictError(
            "sync_paused",
            f"{sync.name} is paused.",
            hint=f"See why: tidemill {group} show {sync.name}. Go on: tidemill {group} unpause {sync.name}",
        )
    at_work = (sync_runs.c.sync_id == sync.id, sync_runs.c.status == "running")
    running: int | None = connection.scalar(sa.select(sync_runs.c.number).where(*at_work))
    waits = connection.execute(waiting(sync.id)).all()
    due = bool(connection.scalar(sa.select(syncs.c.next_at <= sa.func.now()).where(syncs.c.id == sync.id)))
    after = anew and running is not None
    already = bool(waits) or (not after and (running is not None or sync.worker is not None or due))
    # Of one that is at work by hand a worker finds that out, and tries it again.
    if sync.worker is None and (after or running is None or not at_hand()):
        connection.execute(
            sa.update(syncs)
            .where(syncs.c.id == sync.id, sa.func.coalesce(syncs.c.next_at > sa.func.now(), sa.true()))
            .values(next_at=sa.func.now())
        )
    connection.execute(sa.delete(table).where(table.c.sync_id == sync.id, table.c.at < sa.func.now() - _KEPT))
    values = {
        "id": uuid.uuid4(),
        "sync_id": sync.id,
        "number": running if running is not None and not after else last_number(sync.id) + 1,
        "already": already,
        "forced": forced,
        "by": by,
        "at": sa.func.clock_timestamp(),
        "token_id": once.token_id if once else None,
        "key_hash": once.key_hash if once else None,
    }
    row = connection.execute(sa.insert(table).values(values).returning(*table.c)).one()
    return Trigger(**row._mapping)


def _reused() -> ConfigError:
    return ConfigError(
        "idempotency_key_reused",
        "This Idempotency-Key was used within a day for a call that asked for something else.",
        hint="Use a new key for each thing that you ask for, and the same one only to ask for it again.",
    )
