"""Backfills that workers move; and jobs at work, which are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the queue of their intervals, and how many of one are moved at once; and the jobs."""
    op.add_column("backfills", sa.Column("parallel", sa.Integer()), schema="tidemill")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "pieces",
        sa.Column(
            "backfill_id", sa.UUID(), sa.ForeignKey("tidemill.backfills.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("due_at", moment, nullable=False, server_default=sa.text("now()")),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("worker", sa.Text()),
        sa.Column("taken_at", moment),
        schema="tidemill",
    )
    free, taken = sa.text("worker IS NULL"), sa.text("worker IS NOT NULL")
    op.create_index("pieces_due", "pieces", ["due_at"], schema="tidemill", postgresql_where=free)
    op.create_index("pieces_taken", "pieces", ["worker"], schema="tidemill", postgresql_where=taken)
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column(
            "connection_id", sa.UUID(), sa.ForeignKey("tidemill.connections.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("began_at", moment, nullable=False, server_default=sa.text("now()")),
        schema="tidemill",
    )
    op.create_index("ix_tidemill_jobs_connection_id", "jobs", ["connection_id"], schema="tidemill")
