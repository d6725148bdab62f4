"""People who use the web app, their sessions, and who did what."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0030"
down_revision = "0029"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the tables. Programs of before do not know them."""
    op.create_table(
        "users",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text()),
        sa.Column("subject", sa.Text(), unique=True),
        sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("last_seen_at", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("created_by", sa.Text(), nullable=False),
        schema="tidemill",
    )
    op.create_index("users_name", "users", [sa.text("lower(name)")], unique=True, schema="tidemill")
    op.create_table(
        "user_sessions",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("user_id", sa.UUID(), sa.ForeignKey("tidemill.users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("seen_at", _MOMENT, nullable=False, server_default=_NOW),
        schema="tidemill",
    )
    op.create_index("user_sessions_of_user", "user_sessions", ["user_id"], schema="tidemill")
    op.create_table(
        "sign_in_failures",
        sa.Column("name_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", _MOMENT, nullable=False),
        sa.Column("locked_until", _MOMENT),
        schema="tidemill",
    )
    op.create_table(
        "setup_tokens",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        schema="tidemill",
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("actor", "actor_kind", "address")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("action", "kind", "name")),
        sa.Column("outcome", sa.Text(), nullable=False, server_default="begun"),
        sa.Column("code", sa.Text(), nullable=False, server_default=""),
        sa.Column("details", pg.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("before", pg.JSONB()),
        sa.Column("after", pg.JSONB()),
        schema="tidemill",
    )
    op.create_index("audit_log_at", "audit_log", ["at", "id"], schema="tidemill")
    op.create_index("audit_log_of", "audit_log", ["kind", "name", "id"], schema="tidemill")
    op.create_index("audit_log_by", "audit_log", ["actor", "id"], schema="tidemill")
