"""Schedules, and the queue of what workers are to do."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the tables; runs of a schedule are told apart."""
    moment = sa.DateTime(timezone=True)
    export = sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE")
    op.create_table(
        "schedules",
        sa.Column("export_id", sa.UUID(), export, primary_key=True),
        sa.Column("next_start", moment, nullable=False),
        sa.Column("next_end", moment),
        sa.Column("expected_from", moment, nullable=False),
        sa.Column("paused_at", moment),
        sa.Column("paused_by", sa.Text()),
        sa.Column("pause_reason", pg.JSONB()),
        sa.Column("served_at", moment),
        schema="tidemill",
    )
    op.create_index(
        "schedules_due", "schedules", ["next_end"], schema="tidemill", postgresql_where=sa.text("paused_at IS NULL")
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("export_id", sa.UUID(), sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE"), nullable=False),
        sa.Column("interval_start", moment, nullable=False),
        sa.Column("interval_end", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", pg.JSONB()),
        sa.Column("worker", sa.Text()),
        sa.Column("taken_at", moment),
        sa.Column("created_at", moment, nullable=False, server_default=sa.text("now()")),
        sa.UniqueConstraint("export_id", "interval_end"),
        schema="tidemill",
    )
    op.create_index("tasks_due", "tasks", ["due_at"], schema="tidemill", postgresql_where=sa.text("worker IS NULL"))
    op.create_index(
        "tasks_taken", "tasks", ["worker"], schema="tidemill", postgresql_where=sa.text("worker IS NOT NULL")
    )
    op.create_table(
        "failures",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("export_id", sa.UUID(), sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE"), nullable=False),
        sa.Column("interval_end", moment, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("failed_at", moment, nullable=False, server_default=sa.text("now()")),
        schema="tidemill",
    )
    op.create_index("failures_export", "failures", ["export_id", "failed_at"], schema="tidemill")
    op.create_table(
        "modifications",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("modified_at", moment, nullable=False),
        schema="tidemill",
    )
    op.create_index("modifications_name", "modifications", ["name", "modified_at"], schema="tidemill")
    op.create_index("modifications_age", "modifications", ["modified_at"], schema="tidemill")
    op.add_column(
        "runs", sa.Column("scheduled", sa.Boolean(), nullable=False, server_default=sa.false()), schema="tidemill"
    )
    op.create_index(
        "runs_interval_once", "runs", ["export_id", "interval_end"], unique=True, schema="tidemill",
        postgresql_where=sa.text("scheduled"),
    )  # fmt: skip
    for table in ("exports", "runs"):  # the interval that was kept for a scheduler
        op.execute(
            f"UPDATE tidemill.{table} SET spec = (spec - 'interval') || "
            "jsonb_build_object('schedule', jsonb_build_object('interval', spec->'interval')) WHERE spec ? 'interval'"
        )
    op.execute(  # from now on, not from when they were made
        "INSERT INTO tidemill.schedules (export_id, next_start, next_end, expected_from) "
        "SELECT id, now(), now(), now() FROM tidemill.exports WHERE spec->>'mode' IS DISTINCT FROM 'stream'"
    )
