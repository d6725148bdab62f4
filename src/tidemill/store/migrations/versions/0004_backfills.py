"""Backfills, and the runs that belong to one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table; a run of a backfill may run beside one that exports what is new."""
    op.create_table(
        "backfills",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("export_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("time_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("every", sa.Text(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("intervals", postgresql.JSONB(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["export_id"], ["tidemill.exports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema="tidemill",
    )
    op.create_index(
        "backfills_one_at_a_time",
        "backfills",
        ["export_id"],
        unique=True,
        schema="tidemill",
        postgresql_where=sa.text("status IN ('running', 'paused', 'failed')"),
    )
    op.add_column("runs", sa.Column("backfill_id", sa.UUID(), nullable=True), schema="tidemill")
    op.add_column("runs", sa.Column("backfill_interval", sa.Integer(), nullable=True), schema="tidemill")
    op.create_foreign_key(
        None,
        "runs",
        "backfills",
        ["backfill_id"],
        ["id"],
        source_schema="tidemill",
        referent_schema="tidemill",
        ondelete="CASCADE",
    )
    op.create_unique_constraint(None, "runs", ["backfill_id", "backfill_interval"], schema="tidemill")
    op.drop_index("runs_one_at_a_time", table_name="runs", schema="tidemill")
    op.create_index(
        "runs_one_at_a_time",
        "runs",
        ["export_id"],
        unique=True,
        schema="tidemill",
        postgresql_where=sa.text("status = 'running' AND backfill_id IS NULL"),
    )
