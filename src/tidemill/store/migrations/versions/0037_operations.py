"""What somebody has asked for that takes long, and that a worker does to its end."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0037"
down_revision = "0036"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the table. Programs of before do not look at it: what waits then waits for a worker of now."""
    op.create_table(
        "operations",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("wanted", pg.JSONB(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("due_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("worker", sa.Text()),
        sa.Column("taken_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.Column("error", pg.JSONB()),
        sa.Column("progress", pg.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("audit_id", sa.BigInteger()),
        schema="tidemill",
    )
    is_open = sa.text("finished_at IS NULL")
    op.create_index("operations_open", "operations", ["mark"], unique=True, schema="tidemill", postgresql_where=is_open)
    waits = sa.text("finished_at IS NULL AND worker IS NULL")
    op.create_index("operations_due", "operations", ["due_at"], schema="tidemill", postgresql_where=waits)
    op.create_index("operations_of", "operations", ["subject", "at"], schema="tidemill")
