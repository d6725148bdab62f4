"""Streaming exports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the table. The run of a stream does not keep other runs of its export from running."""
    op.create_table(
        "streams",
        sa.Column("export_id", sa.UUID(), sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.UUID(), sa.ForeignKey("tidemill.runs.id", ondelete="SET NULL")),
        sa.Column("name", sa.Text()),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("in_flight", pg.JSONB(), nullable=False),
        sa.Column("quiets", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("trouble", pg.JSONB()),
        schema="tidemill",
    )
    op.drop_index("runs_one_at_a_time", "runs", schema="tidemill")
    op.create_index(
        "runs_one_at_a_time", "runs", ["export_id"], unique=True, schema="tidemill",
        postgresql_where=sa.text("status = 'running' AND backfill_id IS NULL AND mode <> 'stream'"),
    )  # fmt: skip
