"""People: persons, whose each distinct_id is, how far the events are applied. Loads know how they were asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "identity",
        sa.Column("one_row", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("snapshot", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("change", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("one_row", name="identity_one_row"),
        sa.PrimaryKeyConstraint("one_row"),
        schema="tidemill",
    )
    op.create_table(
        "persons",
        sa.Column("team_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("identified", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "id"),
        schema="tidemill",
    )
    op.create_index("persons_change", "persons", ["change"], schema="tidemill")
    op.create_table(
        "distinct_ids",
        sa.Column("team_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("distinct_id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "distinct_id"),
        schema="tidemill",
    )
    op.create_index("distinct_ids_person", "distinct_ids", ["team_id", "person_id"], schema="tidemill")
    op.create_index("distinct_ids_change", "distinct_ids", ["change"], schema="tidemill")
    op.create_table(
        "identity_warnings",
        sa.Column("team_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("distinct_id", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "uuid", "code"),
        schema="tidemill",
    )
    op.add_column(
        "loads", sa.Column("team_given", sa.Boolean(), server_default=sa.false(), nullable=False), schema="tidemill"
    )
    op.add_column("loads", sa.Column("content_key", sa.Text(), server_default="", nullable=False), schema="tidemill")
