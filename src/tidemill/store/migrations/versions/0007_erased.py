"""Deleted persons may be gone from tables, too, and are not exported then. Sizes of properties are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column(
        "persons",
        sa.Column("bytes", sa.Integer(), sa.Computed("octet_length(properties)", persisted=True), nullable=False),
        schema="tidemill",
    )
    op.add_column(
        "persons", sa.Column("erased", sa.Boolean(), server_default=sa.false(), nullable=False), schema="tidemill"
    )
