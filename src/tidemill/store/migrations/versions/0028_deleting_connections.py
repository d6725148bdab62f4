"""Connections that are being deleted: nothing new is begun on them."""

import datetime as dt

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Programs of before know nothing of it: they begin what they like until the connection is gone."""
    when: sa.Column[dt.datetime] = sa.Column("deleting_at", sa.DateTime(timezone=True))
    who: sa.Column[str] = sa.Column("deleting_by", sa.Text())
    op.add_column("connections", when, schema="tidemill")
    op.add_column("connections", who, schema="tidemill")
