"""Tables about copies of an installation, and about who may work with the tables of this database."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import exports, metadata

_NOW = sa.text("now()")
_MOMENT = sa.DateTime(timezone=True)

compatibility = sa.Table(
    "compatibility",  # one row: the oldest revision whose programs may work with the tables as they are now
    metadata,
    sa.Column("one_row", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("oldest", sa.Text, nullable=False),
    sa.CheckConstraint("one_row", name="compatibility_one_row"),
)

restorations = sa.Table(
    "restorations",  # of this installation from backups
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("backup_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("backed_up_at", _MOMENT, nullable=False),
    sa.Column("restored_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("restored_by", sa.Text, nullable=False),
)

doubts = sa.Table(
    "doubts",  # exports whose table may hold rows that this installation does not know
    metadata,
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("since", _MOMENT, nullable=False),  # when the backup was made
)
