"""An index by which runs are found that were over long ago."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Make it. Of millions of runs that takes some seconds."""
    over = sa.text("status = 'completed' AND backfill_id IS NULL")
    op.create_index("runs_over", "runs", ["finished_at"], schema="tidemill", postgresql_where=over)
