"""The table of what all machines of an installation have in common."""

from __future__ import annotations

import sqlalchemy as sa

from tidemill.store.tables import metadata

installation = sa.Table(
    "installation",  # one row
    metadata,
    sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("id", sa.UUID, nullable=False, server_default=sa.func.gen_random_uuid()),  # its event data is known by it
    sa.Column("secret_key", sa.Text),  # a fingerprint of it
    sa.Column("access_key", sa.LargeBinary),  # of the object store, encrypted; null: each machine's own
    sa.Column("access_key_id", sa.Text),
    sa.Column("access_key_at", sa.DateTime(timezone=True)),
    sa.Column("access_key_by", sa.Text),
    sa.CheckConstraint("one", name="installation_one"),
)
