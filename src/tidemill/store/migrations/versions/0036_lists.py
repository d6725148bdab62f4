"""Indexes by which lists of syncs, and of all jobs, are found page by page; what lists tell of a dbt project."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0034"


def upgrade() -> None:
    """Make them. Programs of before leave them as they are."""
    op.create_index("sync_runs_began", "sync_runs", ["began_at", "id"], schema="tidemill")
    op.create_index("sync_runs_status", "sync_runs", ["status", "began_at", "id"], schema="tidemill")
    op.create_index("sync_runs_of_sync", "sync_runs", ["sync_id", "began_at", "id"], schema="tidemill")
    op.create_index("syncs_model", "syncs", ["model_id"], schema="tidemill")
    op.create_index("syncs_destination", "syncs", ["destination_id"], schema="tidemill")
    op.create_index("source_models_connection", "source_models", ["connection_id"], schema="tidemill")
    op.add_column("dbt_projects", sa.Column("summary", postgresql.JSONB()), schema="tidemill")
