"""Addresses by which somebody outside has an export or a sync run."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0032"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the table. Programs of before do not look at it."""
    op.create_table(
        "hooks",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("export_id", sa.UUID(), sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE")),
        sa.Column("sync_id", sa.UUID(), sa.ForeignKey("tidemill.syncs.id", ondelete="CASCADE")),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("last_used_at", _MOMENT),
        sa.Column("revoked_at", _MOMENT),
        sa.CheckConstraint("(export_id IS NULL) <> (sync_id IS NULL)", name="hooks_of_one"),
        schema="tidemill",
    )
    op.create_index("hooks_of_export", "hooks", ["export_id"], schema="tidemill")
    op.create_index("hooks_of_sync", "hooks", ["sync_id"], schema="tidemill")
