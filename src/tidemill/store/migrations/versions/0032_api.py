"""Calls of the API that may be made again, runs of exports that somebody wanted, and indexes of long lists."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0032"
down_revision = "0031"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make tables and indexes. Programs of before do not look at them: what waits then waits for one of now."""
    _calls()
    _triggers()
    _lists()


def _calls() -> None:
    token = sa.ForeignKey("tidemill.tokens.id", ondelete="CASCADE")
    op.create_table(
        "calls",
        sa.Column("token_id", sa.UUID(), token, primary_key=True),
        sa.Column("key_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("told", sa.LargeBinary(), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False, server_default=sa.false()),
        schema="tidemill",
    )
    op.create_index("calls_age", "calls", ["at"], schema="tidemill")


def _triggers() -> None:
    export = sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE")
    run = sa.ForeignKey("tidemill.runs.id", ondelete="CASCADE")
    op.create_table(
        "export_triggers",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("export_id", sa.UUID(), export, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("run_id", sa.UUID(), run),
        sa.Column("code", sa.Text()),
        sa.Column("arrived", sa.Boolean()),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("due_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("worker", sa.Text()),
        sa.Column("taken_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.Column("error", pg.JSONB()),
        sa.Column("runs", pg.ARRAY(sa.UUID()), nullable=False, server_default=sa.text("'{}'")),
        schema="tidemill",
    )
    waits = sa.text("worker IS NULL AND finished_at IS NULL")
    op.create_index("export_triggers_due", "export_triggers", ["due_at"], postgresql_where=waits, schema="tidemill")
    op.create_index("export_triggers_taken", "export_triggers", ["worker"], schema="tidemill",
                    postgresql_where=sa.text("worker IS NOT NULL"))  # fmt: skip
    op.create_index("export_triggers_of_export", "export_triggers", ["export_id", "at"], schema="tidemill")


def _lists() -> None:
    op.create_index("runs_created", "runs", ["created_at", "id"], schema="tidemill")
    op.create_index("runs_status", "runs", ["status", "created_at", "id"], schema="tidemill")
    op.create_index("runs_of_export", "runs", ["export_id", "created_at", "id"], schema="tidemill")
    op.create_index("runs_of_export_status", "runs", ["export_id", "status", "created_at", "id"], schema="tidemill")
    op.create_index("exports_connection", "exports", ["connection_id"], schema="tidemill")
    op.create_index("backfills_of_export", "backfills", ["export_id", "created_at", "id"], schema="tidemill")
    op.create_index("rejects_source", "rejects", ["source", "id"], schema="tidemill",
                    postgresql_where=sa.text("resolved_at IS NULL"))  # fmt: skip
