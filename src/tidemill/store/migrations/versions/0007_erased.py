"""Deleted persons may be gone from tables, too, and are not exported then."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "persons", sa.Column("erased", sa.Boolean(), server_default=sa.false(), nullable=False), schema="tidemill"
    )
