"""What all machines of an installation have in common."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Make the table, with its row."""
    op.create_table(
        "installation",
        sa.Column("one", sa.Boolean(), primary_key=True, server_default=sa.true()),
        sa.Column("id", sa.UUID(), nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("secret_key", sa.Text()),
        sa.Column("access_key", sa.LargeBinary()),
        sa.Column("access_key_id", sa.Text()),
        sa.Column("access_key_at", sa.DateTime(timezone=True)),
        sa.Column("access_key_by", sa.Text()),
        sa.CheckConstraint("one", name="installation_one"),
        schema="tidemill",
    )
    op.execute("INSERT INTO tidemill.installation DEFAULT VALUES")
