"""Sums over the runs of each sync that are over, kept up to date in the transaction in which a run ends.

By them a server tells how all syncs stand. See totals.py.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables import SCHEMA
from tidemill.store.tables_sync import sync_totals as table

_COUNT = sa.text(f"""
    INSERT INTO {SCHEMA}.sync_totals AS t (sync_id, completed, skipped, failed, cancelled, written, rejected, to_retry,
        billed_bytes, seconds, last_status, last_finished_at, last_seconds, last_rows_left, last_success_at, last_error,
        last_taken)
    SELECT r.sync_id, (r.status = 'completed')::int, (r.status = 'skipped')::int, (r.status = 'failed')::int,
        (r.status = 'cancelled')::int, r.written, r.rejected, r.to_retry, r.bytes_billed,
        CASE WHEN r.status = 'completed' THEN r.seconds ELSE 0 END,
        CASE WHEN r.status <> 'skipped' THEN r.status END, CASE WHEN r.status <> 'skipped' THEN r.finished_at END,
        CASE WHEN r.status <> 'skipped' THEN r.seconds END,
        CASE WHEN r.status = 'completed' AND NOT jsonb_exists(r.spec, 'only') THEN r.rejected + r.to_retry END,
        CASE WHEN r.status IN ('completed', 'skipped') THEN r.finished_at END,
        CASE WHEN jsonb_typeof(r.error) = 'object' THEN r.error END,
        CASE WHEN r.planned > 0 THEN r.written * 10000 / r.planned WHEN r.status <> 'failed' THEN 10000 END
    FROM (
        SELECT *, extract(epoch FROM finished_at - began_at)::float8 AS seconds,
            (SELECT coalesce(sum((p->>'rows')::bigint), 0)::bigint FROM jsonb_array_elements(
                CASE WHEN jsonb_typeof(plan->'pieces') = 'array' THEN plan->'pieces' ELSE '[]' END) p)
            + (SELECT coalesce(sum(c.value::bigint), 0)::bigint FROM jsonb_each_text(
                CASE WHEN jsonb_typeof(plan->'counts') = 'object' THEN plan->'counts' ELSE '{{}}' END) c
                WHERE starts_with(c.key, 'invalid_')) AS planned
        FROM {SCHEMA}.sync_runs WHERE id = :run
    ) r
    ON CONFLICT (sync_id) DO UPDATE SET
        completed = t.completed + excluded.completed, skipped = t.skipped + excluded.skipped,
        failed = t.failed + excluded.failed, cancelled = t.cancelled + excluded.cancelled,
        written = t.written + excluded.written, rejected = t.rejected + excluded.rejected,
        to_retry = t.to_retry + excluded.to_retry, billed_bytes = t.billed_bytes + excluded.billed_bytes,
        seconds = t.seconds + excluded.seconds, last_status = coalesce(excluded.last_status, t.last_status),
        last_finished_at = coalesce(excluded.last_finished_at, t.last_finished_at),
        last_seconds = coalesce(excluded.last_seconds, t.last_seconds),
        last_rows_left = coalesce(excluded.last_rows_left, t.last_rows_left),
        last_success_at = coalesce(excluded.last_success_at, t.last_success_at),
        last_error = CASE WHEN excluded.last_status IS NULL THEN t.last_error ELSE excluded.last_error END,
        last_taken = CASE WHEN excluded.last_status IS NULL THEN t.last_taken ELSE excluded.last_taken END
""")
_ALL = sa.text(f"""
    SELECT s.name, m.name AS model, d.name AS destination, s.paused_at IS NOT NULL AS paused, s.next_at,
        s.worker IS NOT NULL AS taken,
        EXISTS (SELECT FROM {SCHEMA}.sync_runs r WHERE r.sync_id = s.id AND r.status = 'running') AS running,
        coalesce(t.completed, 0) AS completed, coalesce(t.skipped, 0) AS skipped, coalesce(t.failed, 0) AS failed,
        coalesce(t.cancelled, 0) AS cancelled, coalesce(t.written, 0) AS written,
        coalesce(t.rejected, 0) AS rejected, coalesce(t.to_retry, 0) AS to_retry,
        coalesce(t.billed_bytes, 0) AS billed_bytes, coalesce(t.seconds, 0) AS seconds, t.last_status,
        t.last_finished_at, t.last_seconds, t.last_rows_left, t.last_success_at
    FROM {SCHEMA}.syncs s JOIN {SCHEMA}.source_models m ON m.id = s.model_id
    JOIN {SCHEMA}.destinations d ON d.id = s.destination_id
    LEFT JOIN {SCHEMA}.sync_totals t ON t.sync_id = s.id
    ORDER BY s.name
""")


@dataclasses.dataclass(frozen=True)
class SyncFigures:
    """Of one sync. `written`, `rejected`, `to_retry`: outcomes of rows, in all runs that are over.

    `last_…`: of the last run that had something to do; `last_rows_left`: that the last complete one did not get across.
    `taken`: a worker has it."""

    name: str
    model: str
    destination: str
    paused: bool
    next_at: dt.datetime | None
    taken: bool
    running: bool
    completed: int
    skipped: int
    failed: int
    cancelled: int
    written: int
    rejected: int
    to_retry: int
    billed_bytes: int
    seconds: float
    last_status: str | None
    last_finished_at: dt.datetime | None
    last_seconds: float | None
    last_rows_left: int | None
    last_success_at: dt.datetime | None


def begun(connection: sa.Connection, sync_id: uuid.UUID, at: dt.datetime) -> None:
    """A run of a sync has just begun, in this transaction."""
    statement = pg.insert(table).values(sync_id=sync_id, last_began_at=at)
    changed = {"last_began_at": statement.excluded.last_began_at}
    connection.execute(statement.on_conflict_do_update(index_elements=[table.c.sync_id], set_=changed))


def count(connection: sa.Connection, run_id: uuid.UUID) -> None:
    """This run has just ended, in this transaction."""
    connection.execute(_COUNT, {"run": run_id})


def read(database: Database) -> tuple[dt.datetime, list[SyncFigures]]:
    """How all syncs stand, and the time by the database's clock."""
    with database.begin() as connection:
        now: dt.datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return now, [SyncFigures(**row._mapping) for row in connection.execute(_ALL)]
