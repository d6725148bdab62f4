"""dbt projects."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0026"
down_revision = "0025"

_MOMENT, _NOW = sa.DateTime(timezone=True), sa.text("now()")


def upgrade() -> None:
    """Make the table. Programs of before do not know it."""
    op.create_table(
        "dbt_projects",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.UUID(), sa.ForeignKey("tidemill.connections.id", ondelete="RESTRICT")),
        sa.Column("spec", pg.JSONB(), nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("catalog", sa.LargeBinary()),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("read_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("next_at", _MOMENT),
        sa.Column("error", pg.JSONB()),
        sa.Column("made_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False, server_default=_NOW),
        schema="tidemill",
    )
    op.create_index("dbt_projects_name", "dbt_projects", [sa.text("lower(name)")], unique=True, schema="tidemill")
