"""Files of events that were sent by the API, for workers to load."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0039"
down_revision = "0037"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the table. Programs of before do not look at it."""
    op.create_table(
        "event_uploads",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("team_id", sa.BigInteger()),
        sa.Column("mapping", pg.JSONB(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("due_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("worker", sa.Text()),
        sa.Column("taken_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.Column("is_cancelled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("rows", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("result", pg.JSONB()),
        sa.Column("error", pg.JSONB()),
        schema="tidemill",
    )
    waits = sa.text("worker IS NULL AND finished_at IS NULL")
    op.create_index("event_uploads_due", "event_uploads", ["due_at"], schema="tidemill", postgresql_where=waits)
    op.create_index("event_uploads_at", "event_uploads", ["at", "id"], schema="tidemill")
