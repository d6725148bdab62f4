"""Sums over the runs of each export that are over: kept up to date in the transaction in which a run ends.

So whoever asks, a server's `/metrics` every few seconds, needs no look at all the runs that there ever were.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.records import Totals as Record
from tidemill.store.tables import SCHEMA
from tidemill.store.tables_seeing import run_totals as table

#: Rows and bytes count when a run is completed; bytes that were billed then, too, since a run that failed is gone on
#: with. Whatever is "last" is of runs that export what is new.
_COUNT = sa.text(f"""
    INSERT INTO {SCHEMA}.run_totals AS t (export_id, completed, failed, cancelled, rows, bytes, written_bytes, rejected,
        repaired, billed_bytes, seconds, last_status, last_finished_at, last_seconds, last_rows, last_error,
        last_completed_at, last_reached_at, covered_until)
    SELECT r.export_id, sum(r.done::int), sum((r.status = 'failed')::int), sum((r.status = 'cancelled')::int),
        sum(r.done::int * r.rows), sum(r.done::int * r.bytes), sum((r.done AND r.writes)::int * r.bytes),
        sum(r.done::int * r.rejected), sum(r.done::int * r.repaired), sum(r.done::int * r.bytes_billed),
        sum(r.done::int * r.seconds),
        (array_agg(r.status ORDER BY r.number DESC) FILTER (WHERE r.new))[1],
        max(r.finished_at) FILTER (WHERE r.new),
        (array_agg(r.seconds ORDER BY r.number DESC) FILTER (WHERE r.new))[1],
        (array_agg(r.rows ORDER BY r.number DESC) FILTER (WHERE r.new))[1],
        (array_agg(r.error ORDER BY r.number DESC) FILTER (WHERE r.new))[1],
        max(r.finished_at) FILTER (WHERE r.done), max(r.finished_at) FILTER (WHERE r.done AND r.parts > 0),
        max(r.covers_until) FILTER (WHERE r.done)
    FROM (
        SELECT o.*, o.status = 'completed' AS done, o.backfill_id IS NULL AS new,
            coalesce(o.mode = 'stream' OR o.spec->>'delivery' = 'storage-write', false) AS writes,
            coalesce(o.rows_merged, c.loaded, 0) AS rows, coalesce(c.bytes, 0) AS bytes,
            coalesce(c.rejected, 0) AS rejected, coalesce(c.repaired, 0) AS repaired, c.parts,
            CASE WHEN o.error_code IS NOT NULL THEN jsonb_build_object('code', o.error_code,
                'message', o.error_message, 'hint', o.error_hint) END AS error,
            coalesce(extract(epoch FROM o.finished_at - o.started_at), 0)::float8 AS seconds
        FROM {SCHEMA}.runs o LEFT JOIN LATERAL (
            SELECT sum(rows_loaded) AS loaded, sum(bytes) AS bytes, sum(rows_rejected) AS rejected,
                sum(rows_repaired) AS repaired, count(*) AS parts
            FROM {SCHEMA}.chunks WHERE run_id = o.id) c ON true
        WHERE o.id = ANY(:runs)
    ) r GROUP BY r.export_id
    ON CONFLICT (export_id) DO UPDATE SET
        completed = t.completed + excluded.completed, failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled, rows = t.rows + excluded.rows, bytes = t.bytes + excluded.bytes,
        written_bytes = t.written_bytes + excluded.written_bytes, rejected = t.rejected + excluded.rejected,
        repaired = t.repaired + excluded.repaired, billed_bytes = t.billed_bytes + excluded.billed_bytes,
        seconds = t.seconds + excluded.seconds, last_status = coalesce(excluded.last_status, t.last_status),
        last_finished_at = coalesce(excluded.last_finished_at, t.last_finished_at),
        last_seconds = coalesce(excluded.last_seconds, t.last_seconds),
        last_rows = coalesce(excluded.last_rows, t.last_rows),
        last_error = CASE WHEN excluded.last_status IS NULL THEN t.last_error ELSE excluded.last_error END,
        last_reached_at = greatest(excluded.last_reached_at, t.last_reached_at),
        last_completed_at = greatest(excluded.last_completed_at, t.last_completed_at),
        covered_until = greatest(excluded.covered_until, t.covered_until)
""").bindparams(sa.bindparam("runs", type_=pg.ARRAY(pg.UUID(as_uuid=True))))


def count(connection: sa.Connection, run_ids: Sequence[uuid.UUID]) -> None:
    """These runs have just ended, in this transaction: they count once more, in the way in which they ended."""
    connection.execute(_COUNT, {"runs": list(run_ids)})


def bill(connection: sa.Connection, export_id: uuid.UUID, billed_bytes: int) -> None:
    """Something else than a run of an export was billed for."""
    insert = pg.insert(table).values(export_id=export_id, billed_bytes=billed_bytes)
    more = {"billed_bytes": table.c.billed_bytes + billed_bytes}
    connection.execute(insert.on_conflict_do_update(index_elements=["export_id"], set_=more))


class Totals:
    """The repository of these sums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, export_id: uuid.UUID) -> Record:
        """Those of an export; zeros if no run of it has ended."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.export_id == export_id)).first()
        return Record(**row._mapping) if row else Record(export_id)
