"""Backups that are restored, exports whose tables are in doubt since, and who may work with the tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0019"
down_revision = "0018"

_NOW = sa.text("now()")


def upgrade() -> None:
    """Make the tables. Older programs that run work on; none that begins may: it would know nothing of doubts."""
    made = op.create_table(
        "compatibility",
        sa.Column("one_row", sa.Boolean(), primary_key=True, server_default=sa.true()),
        sa.Column("oldest", sa.Text(), nullable=False),
        sa.CheckConstraint("one_row", name="compatibility_one_row"),
        schema="tidemill",
    )
    op.bulk_insert(made, [{"oldest": "0019"}])
    op.create_table(
        "restorations",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("backup_id", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("backed_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("restored_by", sa.Text(), nullable=False),
        schema="tidemill",
    )
    op.create_table(
        "doubts",
        sa.Column("export_id", sa.UUID(), sa.ForeignKey("tidemill.exports.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        schema="tidemill",
    )
    op.add_column(
        "identity", sa.Column("versions", sa.BigInteger(), nullable=False, server_default="0"), schema="tidemill"
    )
