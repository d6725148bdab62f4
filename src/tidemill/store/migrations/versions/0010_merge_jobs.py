"""Runs know the job of their MERGE before it begins."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column."""
    op.add_column("runs", sa.Column("merge_job", sa.Text(), nullable=True), schema="tidemill")
