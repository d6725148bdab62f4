"""Runs of dbt Cloud that were told of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0029"
down_revision = "0028"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the table. Programs of before do not know it."""
    project = sa.ForeignKey("tidemill.dbt_projects.id", ondelete="CASCADE")
    op.create_table(
        "dbt_cloud_runs",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("project_id", sa.UUID(), project, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("told_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("next_at", _MOMENT),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("syncs", pg.JSONB(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        schema="tidemill",
    )
    once = ["project_id", "account", "run"]
    op.create_index("dbt_cloud_runs_once", "dbt_cloud_runs", once, unique=True, schema="tidemill")
    is_due = sa.text("next_at IS NOT NULL")
    op.create_index("dbt_cloud_runs_due", "dbt_cloud_runs", ["next_at"], postgresql_where=is_due, schema="tidemill")
