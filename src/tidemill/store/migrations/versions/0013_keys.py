"""Keys by which SDKs send events."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "keys",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("events_per_second", sa.Integer()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        schema="tidemill",
    )
    op.create_index(
        "keys_name", "keys", [sa.text("lower(name)")], unique=True, schema="tidemill",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )  # fmt: skip
