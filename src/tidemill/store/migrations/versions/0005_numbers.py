"""Numbers of people, which are Amplitude's ids, what was merged into what, and who used which device."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the tables; whoever is known gets a number."""
    op.add_column(
        "identity", sa.Column("numbers", sa.BigInteger(), server_default="0", nullable=False), schema="tidemill"
    )
    for table in ("persons", "distinct_ids"):
        op.add_column(table, sa.Column("number", sa.BigInteger(), nullable=True), schema="tidemill")
    _number_the_known()
    for table in ("persons", "distinct_ids"):
        op.alter_column(table, "number", nullable=False, schema="tidemill")
    op.create_table(
        "merge_ids",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("into_number", sa.BigInteger(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("server_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        schema="tidemill",
    )
    op.create_index("merge_ids_change", "merge_ids", ["change"], schema="tidemill")
    op.create_table(
        "device_users",
        sa.Column("team_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("snapshot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "device_id", "snapshot", "n"),
        schema="tidemill",
    )


def _number_the_known() -> None:
    op.execute(
        "UPDATE tidemill.persons p SET number = o.number FROM (SELECT team_id, id, row_number() OVER "
        "(ORDER BY team_id, created_at, id) AS number FROM tidemill.persons) o "
        "WHERE (p.team_id, p.id) = (o.team_id, o.id)"
    )
    op.execute(
        "UPDATE tidemill.distinct_ids d SET number = p.number FROM tidemill.persons p "
        "WHERE (p.team_id, p.id) = (d.team_id, d.person_id)"
    )
    op.execute(
        "UPDATE tidemill.distinct_ids d SET number = o.number + (SELECT count(*) FROM tidemill.persons) FROM "
        "(SELECT team_id, distinct_id, row_number() OVER (ORDER BY team_id, distinct_id) AS number "
        "FROM tidemill.distinct_ids WHERE person_id IS NULL) o "
        "WHERE (d.team_id, d.distinct_id) = (o.team_id, o.distinct_id)"
    )
    op.execute(
        "UPDATE tidemill.identity SET numbers = greatest((SELECT coalesce(max(number), 0) FROM tidemill.persons), "
        "(SELECT coalesce(max(number), 0) FROM tidemill.distinct_ids))"
    )
