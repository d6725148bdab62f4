"""The tables of dbt projects, and of runs of dbt Cloud that were told of."""

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
    sa.Column("summary", pg.JSONB),  # of the manifest: project, dbt_version, models; null: kept by a program of before
    sa.Column("revision", sa.Text, nullable=False),  # commit of a repository; empty: it is in none
    sa.Column("read_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("next_at", MOMENT),  # when it is read anew; null: when somebody wants it
    sa.Column("error", pg.JSONB),  # code, message, hint: why it could not be read the last time
    sa.Column("made_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("dbt_projects_name", sa.func.lower(dbt_projects.c.name), unique=True)

dbt_cloud_runs = sa.Table(
    "dbt_cloud_runs",  # told by a webhook: each once, however often it is told
    metadata,
    id_column(),
    sa.Column("project_id", sa.ForeignKey(dbt_projects.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),  # its name
    sa.Column("status", sa.Text, nullable=False),  # as dbt Cloud calls it
    sa.Column("told_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("next_at", MOMENT),  # when it is seen to; null: it has been
    sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("syncs", pg.JSONB, nullable=False, server_default=sa.text("'[]'")),  # which were triggered, or why not
    sa.Column("note", sa.Text, nullable=False, server_default=""),  # what came of it
)
sa.Index(
    "dbt_cloud_runs_once",
    dbt_cloud_runs.c.project_id,
    dbt_cloud_runs.c.account,
    dbt_cloud_runs.c.run,
    unique=True,
)
sa.Index("dbt_cloud_runs_due", dbt_cloud_runs.c.next_at, postgresql_where=dbt_cloud_runs.c.next_at.is_not(None))
