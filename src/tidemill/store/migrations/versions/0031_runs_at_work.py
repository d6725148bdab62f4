"""An index of runs that are at work: the web app asks for them every few seconds."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Make it. Programs of before leave it as it is."""
    where = sa.text("status = 'running'")
    op.create_index("runs_at_work", "runs", ["created_at"], schema="tidemill", postgresql_where=where)
