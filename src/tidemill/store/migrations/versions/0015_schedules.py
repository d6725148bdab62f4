"""Schedules, and the queue of what workers are to do."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0015"
down_revision = "0014"


_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables; runs of a schedule are told apart; intervals that were kept for a scheduler are used."""
    _schedules()
    _queue()
    _modifications()
    _runs()
    _intervals()


def _export(*, primary_key: bool = False) -> sa.Column[object]:
    key = sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE")
    return sa.Column("export_id", sa.UUID(), key, primary_key=primary_key, nullable=False)


def _schedules() -> None:
    op.create_table(
        "schedules",
        _export(primary_key=True),
        sa.Column("next_start", _MOMENT, nullable=False),
        sa.Column("next_end", _MOMENT),
        sa.Column("expected_from", _MOMENT, nullable=False),
        sa.Column("paused_at", _MOMENT),
        sa.Column("paused_by", sa.Text()),
        sa.Column("pause_reason", pg.JSONB()),
        sa.Column("served_at", _MOMENT),
        schema="tidemill",
    )
    op.create_index(
        "schedules_due", "schedules", ["next_end"], schema="tidemill", postgresql_where=sa.text("paused_at IS NULL")
    )


def _queue() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.UUID(), primary_key=True),
        _export(),
        sa.Column("interval_start", _MOMENT, nullable=False),
        sa.Column("interval_end", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", pg.JSONB()),
        sa.Column("worker", sa.Text()),
        sa.Column("taken_at", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=sa.text("now()")),
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
        _export(),
        sa.Column("interval_end", _MOMENT, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("failed_at", _MOMENT, nullable=False, server_default=sa.text("now()")),
        schema="tidemill",
    )
    op.create_index("failures_export", "failures", ["export_id", "failed_at"], schema="tidemill")


def _modifications() -> None:
    op.create_table(
        "modifications",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("modified_at", _MOMENT, nullable=False),
        schema="tidemill",
    )
    op.create_index("modifications_name", "modifications", ["name", "modified_at"], schema="tidemill")
    op.create_index("modifications_age", "modifications", ["modified_at"], schema="tidemill")


def _runs() -> None:
    op.add_column(
        "runs", sa.Column("scheduled", sa.Boolean(), nullable=False, server_default=sa.false()), schema="tidemill"
    )
    op.create_index(
        "runs_interval_once", "runs", ["export_id", "interval_end"], unique=True, schema="tidemill",
        postgresql_where=sa.text("scheduled"),
    )  # fmt: skip


def _intervals() -> None:
    for table in ("exports", "runs"):
        op.execute(
            f"UPDATE tidemill.{table} SET spec = (spec - 'interval') || "
            "jsonb_build_object('schedule', jsonb_build_object('interval', spec->'interval')) WHERE spec ? 'interval'"
        )
    op.execute(  # from now on, not from when they were made
        "INSERT INTO tidemill.schedules (export_id, next_start, next_end, expected_from) "
        "SELECT id, now(), now(), now() FROM tidemill.exports WHERE spec->>'mode' IS DISTINCT FROM 'stream'"
    )
