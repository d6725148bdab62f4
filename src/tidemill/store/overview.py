"""What the first page of the web app shows: how all stands, by queries that stay small with millions of runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.tables import SCHEMA

#: Counts up to this: who has more has many.
MANY = 10_000
_COUNTS = f"""
    SELECT
        (SELECT count(*) FROM {SCHEMA}.connections) AS connections,
        (SELECT count(*) FROM {SCHEMA}.exports) AS exports,
        (SELECT count(*) FROM {SCHEMA}.syncs s WHERE s.spec->'taken'->'spec' IS NULL) AS syncs,
        (SELECT count(*) FROM {SCHEMA}.syncs s WHERE s.spec->'taken'->'spec' IS NOT NULL) AS imports,
        (SELECT count(*) FROM {SCHEMA}.keys WHERE revoked_at IS NULL) AS keys,
        (SELECT count(*) FROM {SCHEMA}.loads) AS loads,
        (SELECT count(*) FROM (SELECT 1 FROM {SCHEMA}.tasks LIMIT {MANY}) t)
            + (SELECT count(*) FROM (SELECT 1 FROM {SCHEMA}.pieces LIMIT {MANY}) p) AS queued,
        (SELECT count(*) FROM (
            SELECT 1 FROM {SCHEMA}.rejects WHERE resolved_at IS NULL LIMIT {MANY}) r) AS set_aside,
        (SELECT count(*) FROM (SELECT 1 FROM {SCHEMA}.sync_rejects LIMIT {MANY}) r) AS not_delivered,
        (SELECT count(*) FROM {SCHEMA}.run_totals WHERE last_status = 'failed')
            + (SELECT count(*) FROM {SCHEMA}.sync_totals WHERE last_status = 'failed') AS failed
"""
_RUNNING = f"""
    SELECT e.name, CASE WHEN r.mode = 'stream' THEN 'stream' ELSE 'export' END AS kind, r.id::text AS id, r.number,
        r.rows_planned AS planned, c.rows AS done, coalesce(r.started_at, r.created_at) AS since
    FROM {SCHEMA}.runs r JOIN {SCHEMA}.exports e ON e.id = r.export_id
    CROSS JOIN LATERAL (SELECT coalesce(sum(rows_loaded), 0)::bigint AS rows FROM {SCHEMA}.chunks WHERE run_id = r.id) c
    WHERE r.status = 'running'
    UNION ALL
    SELECT s.name, CASE WHEN s.spec->'taken'->'spec' IS NULL THEN 'sync' ELSE 'import' END, r.id::text, r.number,
        NULL, r.written, r.began_at
    FROM {SCHEMA}.sync_runs r JOIN {SCHEMA}.syncs s ON s.id = r.sync_id
    WHERE r.status = 'running'
    ORDER BY since DESC LIMIT :most
"""
_FAILED = f"""
    SELECT e.name, 'export' AS kind, t.last_finished_at AS at, r.error_code AS code, r.error_message AS message,
        r.error_hint AS hint, r.id::text AS id
    FROM (SELECT * FROM {SCHEMA}.run_totals WHERE last_status = 'failed'
        ORDER BY last_finished_at DESC NULLS LAST LIMIT :most) t
    JOIN {SCHEMA}.exports e ON e.id = t.export_id
    LEFT JOIN LATERAL (SELECT * FROM {SCHEMA}.runs WHERE export_id = e.id AND backfill_id IS NULL AND status = 'failed'
        ORDER BY number DESC LIMIT 1) r ON true
    UNION ALL
    SELECT s.name, CASE WHEN s.spec->'taken'->'spec' IS NULL THEN 'sync' ELSE 'import' END, t.last_finished_at,
        r.error->>'code', r.error->>'message', r.error->>'hint', r.id::text
    FROM (SELECT * FROM {SCHEMA}.sync_totals WHERE last_status = 'failed'
        ORDER BY last_finished_at DESC NULLS LAST LIMIT :most) t
    JOIN {SCHEMA}.syncs s ON s.id = t.sync_id
    LEFT JOIN LATERAL (SELECT * FROM {SCHEMA}.sync_runs WHERE sync_id = s.id AND status = 'failed'
        ORDER BY number DESC LIMIT 1) r ON true
    ORDER BY at DESC NULLS LAST LIMIT :most
"""
_FRESHNESS = f"""
    SELECT e.name, concat_ws('.', e.project, e.dataset, e.table_id) AS table, e.spec->>'mode' AS mode,
        t.covered_until, t.last_rows AS rows, s.paused_at IS NOT NULL AS paused, c.name AS connection,
        coalesce(t.last_status, 'never ran') AS status
    FROM {SCHEMA}.exports e JOIN {SCHEMA}.connections c ON c.id = e.connection_id
    LEFT JOIN {SCHEMA}.run_totals t ON t.export_id = e.id LEFT JOIN {SCHEMA}.schedules s ON s.export_id = e.id
    ORDER BY t.covered_until NULLS FIRST, e.name LIMIT :most
"""
_TROUBLES = f"""
    SELECT coalesce(e.name, s.name) AS name,
        CASE WHEN e.id IS NOT NULL THEN 'export' WHEN s.spec->'taken'->'spec' IS NULL THEN 'sync' ELSE 'import' END
            AS kind, t.cause, t.began_at AS since, t.facts
    FROM {SCHEMA}.troubles t LEFT JOIN {SCHEMA}.exports e ON e.id = t.export_id
    LEFT JOIN {SCHEMA}.syncs s ON s.id = t.export_id
    WHERE t.over_at IS NULL AND (e.id IS NOT NULL OR s.id IS NOT NULL)
    ORDER BY t.cause = 'paused' DESC, t.began_at DESC LIMIT :most
"""
_HOURS = f"""
    SELECT date_trunc('hour', r.finished_at, 'UTC') AS hour, 'exported' AS kind,
        sum(coalesce(r.rows_merged, c.rows, 0))::bigint AS rows
    FROM {SCHEMA}.runs r
    LEFT JOIN LATERAL (SELECT sum(rows_loaded) AS rows FROM {SCHEMA}.chunks WHERE run_id = r.id) c ON true
    WHERE r.finished_at >= :start AND r.finished_at < :finish AND r.status = 'completed' AND r.backfill_id IS NULL
    GROUP BY 1
    UNION ALL
    SELECT date_trunc('hour', finished_at, 'UTC'), 'delivered', sum(written)::bigint
    FROM {SCHEMA}.sync_runs WHERE finished_at >= :start AND finished_at < :finish AND status = 'completed' GROUP BY 1
"""


class Overview:
    """The repository of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return self._rows(_COUNTS)[0]

    def running(self, most: int) -> list[dict[str, Any]]:
        """Runs that are at work."""
        return self._rows(_RUNNING, most=most)

    def failed(self, most: int) -> list[dict[str, Any]]:
        """What failed when it last ran, the newest first."""
        return self._rows(_FAILED, most=most)

    def freshness(self, most: int) -> list[dict[str, Any]]:
        """Up to when each table has what was acknowledged, the oldest first."""
        return self._rows(_FRESHNESS, most=most)

    def troubles(self, most: int) -> list[dict[str, Any]]:
        """What is wrong and lasts."""
        return self._rows(_TROUBLES, most=most)

    def rows_by_hour(self, start: dt.datetime, finish: dt.datetime) -> list[dict[str, Any]]:
        """Rows of runs that ended between these hours: exported, and delivered by syncs and imports."""
        return self._rows(_HOURS, start=start, finish=finish)

    def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self._database.begin() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.text(query), values)]
