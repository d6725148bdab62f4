"""How connections stand: their last tests, and when and why what uses them last failed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0035"
down_revision = "0034"

_MOMENT = sa.DateTime(timezone=True)
_LAST_ERROR = """
    UPDATE tidemill.{totals} t SET last_error = (
        SELECT {error} FROM tidemill.{runs} r WHERE r.{thing} = t.{thing} AND r.status = 'failed'
        ORDER BY r.finished_at DESC NULLS LAST LIMIT 1
    ) WHERE t.last_status = 'failed'
"""
_OF_RUN = "jsonb_build_object('code', r.error_code, 'message', r.error_message, 'hint', r.error_hint)"


def upgrade() -> None:
    """Make them. Programs of before do not look at them; what they count says nothing of errors."""
    op.create_table(
        "connection_tests",
        sa.Column(
            "connection_id",
            sa.UUID(),
            sa.ForeignKey("tidemill.connections.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("tested_at", _MOMENT, nullable=False),
        sa.Column("steps", pg.JSONB(), nullable=False),
        schema="tidemill",
    )
    op.add_column("connections", sa.Column("changed_at", _MOMENT), schema="tidemill")
    op.add_column("run_totals", sa.Column("last_reached_at", _MOMENT), schema="tidemill")
    for totals in ("run_totals", "sync_totals"):
        op.add_column(totals, sa.Column("last_error", pg.JSONB()), schema="tidemill")
    op.execute("UPDATE tidemill.run_totals SET last_reached_at = last_completed_at WHERE rows > 0")
    op.execute(_LAST_ERROR.format(totals="run_totals", runs="runs", thing="export_id", error=_OF_RUN))
    op.execute(
        _LAST_ERROR.format(totals="sync_totals", runs="sync_runs", thing="sync_id", error="nullif(r.error, 'null')")
    )
