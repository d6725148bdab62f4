"""Troubles and messages of syncs, beside those of exports: the same columns hold the id of either."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0022"
down_revision = "0021"

#: Whoever deletes an export or a sync deletes these, in the same transaction: also a program of before, which takes it
#: that a foreign key does.
_FORGET = """
    CREATE FUNCTION tidemill.forget_troubles() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM tidemill.troubles WHERE export_id = OLD.id;
        DELETE FROM tidemill.notices WHERE export_id = OLD.id;
        RETURN NULL;
    END $$
"""


def upgrade() -> None:
    """Let go of the foreign keys; keep what was found out of a trouble."""
    for table in ("troubles", "notices"):
        op.drop_constraint(f"{table}_export_id_fkey", table, schema="tidemill", type_="foreignkey")
    op.add_column("troubles", sa.Column("facts", pg.JSONB()), schema="tidemill")
    op.execute(_FORGET)
    for table in ("exports", "syncs"):
        op.execute(
            f"CREATE TRIGGER forget_troubles AFTER DELETE ON tidemill.{table} "
            "FOR EACH ROW EXECUTE FUNCTION tidemill.forget_troubles()"
        )
