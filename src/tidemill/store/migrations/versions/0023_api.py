"""Tokens of the API, and runs of syncs that somebody wanted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0023"
down_revision = "0022"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the tables. Programs of before do not look at them: they run what was triggered as if it were due."""
    op.create_table(
        "tokens",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("scopes", pg.ARRAY(sa.Text()), nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("revoked_at", _MOMENT),
        schema="tidemill",
    )
    op.create_index(
        "tokens_name", "tokens", [sa.text("lower(name)")], unique=True, schema="tidemill",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )  # fmt: skip
    op.create_table(
        "sync_triggers",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("sync_id", sa.UUID(), sa.ForeignKey("tidemill.syncs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("already", sa.Boolean(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("token_id", sa.UUID(), sa.ForeignKey("tidemill.tokens.id", ondelete="CASCADE")),
        sa.Column("key_hash", sa.LargeBinary()),
        sa.Column("error", pg.JSONB()),
        schema="tidemill",
    )
    op.create_index("sync_triggers_of_sync", "sync_triggers", ["sync_id", "number"], schema="tidemill")
    op.create_index("sync_triggers_once", "sync_triggers", ["token_id", "key_hash"], unique=True, schema="tidemill")
