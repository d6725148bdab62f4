"""The table of dbt projects."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, connections, id_column, metadata

dbt_projects = sa.Table(
    "dbt_projects",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("connection_id", sa.ForeignKey(connections.c.id, ondelete="RESTRICT")),
    sa.Column("spec", pg.JSONB, nullable=False),  # what may be shown
    sa.Column("secret", sa.LargeBinary),  # what may not, a JSON object, encrypted
    sa.Column("manifest", sa.LargeBinary, nullable=False),  # what is of use of it, packed; of the catalog likewise
    sa.Column("catalog", sa.LargeBinary),
    sa.Column("revision", sa.Text, nullable=False),  # commit of a repository; empty: it is in none
    sa.Column("read_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("next_at", MOMENT),  # when it is read anew; null: when somebody wants it
    sa.Column("error", pg.JSONB),  # code, message, hint: why it could not be read the last time
    sa.Column("made_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("dbt_projects_name", sa.func.lower(dbt_projects.c.name), unique=True)
