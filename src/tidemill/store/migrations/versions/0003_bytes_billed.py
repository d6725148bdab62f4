"""Runs know what their statements were billed for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    bytes_billed = sa.Column("bytes_billed", sa.BigInteger(), server_default="0", nullable=False)
    op.add_column("runs", bytes_billed, schema="tidemill")
