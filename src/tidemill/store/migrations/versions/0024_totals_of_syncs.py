"""Sums over the runs of syncs that are over."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_MOMENT = sa.DateTime(timezone=True)
_SUMS = ("completed", "skipped", "failed", "cancelled", "written", "rejected", "to_retry", "billed_bytes")


def upgrade() -> None:
    """Make the table; runs of before are counted."""
    op.create_table(
        "sync_totals",
        sa.Column("sync_id", sa.UUID(), sa.ForeignKey("tidemill.syncs.id", ondelete="CASCADE"), primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _SUMS),
        sa.Column("seconds", sa.Double(), nullable=False, server_default="0"),
        sa.Column("last_status", sa.Text()),
        sa.Column("last_finished_at", _MOMENT),
        sa.Column("last_seconds", sa.Double()),
        sa.Column("last_rows_left", sa.BigInteger()),
        sa.Column("last_success_at", _MOMENT),
        schema="tidemill",
        postgresql_with={"fillfactor": "70"},
    )
    op.execute("""
        INSERT INTO tidemill.sync_totals (sync_id, completed, skipped, failed, cancelled, written, rejected, to_retry,
            billed_bytes, seconds, last_status, last_finished_at, last_seconds, last_rows_left, last_success_at)
        SELECT sync_id, count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'skipped'),
            count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cancelled'),
            sum(written), sum(rejected), sum(to_retry), sum(bytes_billed),
            coalesce(sum(extract(epoch FROM finished_at - began_at)) FILTER (WHERE status = 'completed'), 0)::float8,
            (array_agg(status ORDER BY number DESC) FILTER (WHERE status <> 'skipped'))[1],
            max(finished_at) FILTER (WHERE status <> 'skipped'),
            (array_agg(extract(epoch FROM finished_at - began_at)::float8 ORDER BY number DESC)
                FILTER (WHERE status <> 'skipped'))[1],
            (array_agg(rejected + to_retry ORDER BY number DESC) FILTER (WHERE status = 'completed'))[1],
            max(finished_at) FILTER (WHERE status IN ('completed', 'skipped'))
        FROM tidemill.sync_runs WHERE status <> 'running' GROUP BY sync_id
    """)
