"""Chunks know the first and the last key that was written."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column("chunks", sa.Column("bounds", postgresql.JSONB(), nullable=True), schema="tidemill")
