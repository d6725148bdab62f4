"""Which rows of syncs were refused before they were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Of those that are there it is not known: they are tried once more. Programs of before leave it as it is."""
    column: sa.Column[bool] = sa.Column("here", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    op.add_column("sync_rejects", column, schema="tidemill")
