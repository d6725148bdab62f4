"""Lines that runs tell, and sums over those that are over."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0017"
down_revision = "0016"

_MOMENT = sa.DateTime(timezone=True)
_RUNS = ("completed", "failed", "cancelled")
_SUMS = (*_RUNS, "rows", "bytes", "written_bytes", "rejected", "repaired", "billed_bytes")


def upgrade() -> None:
    """Make the tables; runs of before are counted."""
    _lines()
    _totals()
    _count()
    op.create_table(
        "backlogs",
        sa.Column("one_row", sa.Boolean(), primary_key=True, server_default=sa.true()),
        sa.Column("measured_at", _MOMENT, nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("behind", pg.JSONB(), nullable=False),
        sa.CheckConstraint("one_row", name="backlogs_one_row"),
        schema="tidemill",
    )


def _lines() -> None:
    op.create_table(
        "run_lines",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("run_id", sa.UUID()),
        sa.Column("export_id", sa.UUID()),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("fields", pg.JSON(), nullable=False),
        sa.Column("attempt", sa.Integer()),
        sa.Column("process", sa.Text(), nullable=False),
        schema="tidemill",
    )
    for name, column in (("run_lines_run", "run_id"), ("run_lines_export", "export_id")):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "run_lines", [column, "id"], schema="tidemill", postgresql_where=there)


def _totals() -> None:
    export = sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE")
    op.create_table(
        "run_totals",
        sa.Column("export_id", sa.UUID(), export, primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _SUMS),
        sa.Column("seconds", sa.Double(), nullable=False, server_default="0"),
        sa.Column("last_status", sa.Text()),
        sa.Column("last_finished_at", _MOMENT),
        sa.Column("last_seconds", sa.Double()),
        sa.Column("last_rows", sa.BigInteger()),
        sa.Column("last_completed_at", _MOMENT),
        sa.Column("covered_until", _MOMENT),
        schema="tidemill",
        postgresql_with={"fillfactor": "70"},
    )


def _count() -> None:
    op.execute("""
        INSERT INTO tidemill.run_totals (export_id, completed, failed, cancelled, rows, bytes, written_bytes, rejected,
            repaired, billed_bytes, seconds, last_completed_at, covered_until)
        SELECT r.export_id, count(*) FILTER (WHERE done), count(*) FILTER (WHERE r.status = 'failed'),
            count(*) FILTER (WHERE r.status = 'cancelled'),
            coalesce(sum(coalesce(r.rows_merged, c.rows)) FILTER (WHERE done), 0),
            coalesce(sum(c.bytes) FILTER (WHERE done), 0),
            coalesce(sum(c.bytes) FILTER (WHERE done AND (r.mode = 'stream' OR
                r.spec->>'delivery' = 'storage-write')), 0),
            coalesce(sum(c.rejected) FILTER (WHERE done), 0), coalesce(sum(c.repaired) FILTER (WHERE done), 0),
            coalesce(sum(r.bytes_billed) FILTER (WHERE done), 0) + coalesce((
                SELECT sum(v.bytes_billed) FROM tidemill.verifications v WHERE v.export_id = r.export_id), 0),
            coalesce(sum(extract(epoch FROM r.finished_at - r.started_at)) FILTER (WHERE done), 0),
            max(r.finished_at) FILTER (WHERE done),
            max(r.covers_until) FILTER (WHERE done)
        FROM (SELECT *, status = 'completed' AS done FROM tidemill.runs WHERE status <> 'running') r
        LEFT JOIN (
            SELECT run_id, sum(rows_loaded) AS rows, sum(bytes) AS bytes, sum(rows_rejected) AS rejected,
                sum(rows_repaired) AS repaired
            FROM tidemill.chunks GROUP BY run_id) c ON c.run_id = r.id
        GROUP BY r.export_id
    """)
    op.execute("""
        UPDATE tidemill.run_totals t SET last_status = l.status, last_finished_at = l.finished_at,
            last_seconds = extract(epoch FROM l.finished_at - l.started_at), last_rows = l.rows
        FROM (
            SELECT DISTINCT ON (r.export_id) r.export_id, r.status, r.finished_at, r.started_at, coalesce(r.rows_merged,
                (SELECT sum(rows_loaded) FROM tidemill.chunks c WHERE c.run_id = r.id), 0) AS rows
            FROM tidemill.runs r WHERE r.status <> 'running' AND r.backfill_id IS NULL
            ORDER BY r.export_id, r.number DESC) l
        WHERE t.export_id = l.export_id
    """)
