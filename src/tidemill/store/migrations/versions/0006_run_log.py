"""Runs know up to which moment they hold all that was acknowledged."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("runs", sa.Column("covers_until", sa.DateTime(timezone=True), nullable=True), schema="tidemill")
