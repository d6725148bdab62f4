"""What verifications of exports have found."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "verifications",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("export_id", sa.UUID(), nullable=False),
        sa.Column("daily", sa.Boolean(), nullable=False),
        sa.Column("since", sa.Date(), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("expected", "rows", "missing", "duplicated", "unexpected", "days_different", "bytes_billed")
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["export_id"], ["tidemill.exports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema="tidemill",
    )
    op.create_index("verifications_export", "verifications", ["export_id", "created_at"], schema="tidemill")
