"""What lists are found and sorted by: indexes of runs of syncs, when a sync last ran, how much an import took, and what
is told of a dbt project."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"

#: Of the last run of each that was not skipped, rows that it took of those that it had, in hundredths of a per cent.
_TOLD = """
    INSERT INTO tidemill.sync_totals AS t (sync_id, last_began_at, last_taken)
    SELECT s.id, l.began_at, CASE WHEN r.planned > 0 THEN r.written * 10000 / r.planned
        WHEN r.status <> 'failed' THEN 10000 END
    FROM tidemill.syncs s
    JOIN LATERAL (SELECT began_at FROM tidemill.sync_runs WHERE sync_id = s.id ORDER BY number DESC LIMIT 1) l ON true
    LEFT JOIN LATERAL (
        SELECT status, written,
            (SELECT coalesce(sum((p->>'rows')::bigint), 0)::bigint FROM jsonb_array_elements(
                CASE WHEN jsonb_typeof(plan->'pieces') = 'array' THEN plan->'pieces' ELSE '[]' END) p)
            + (SELECT coalesce(sum(c.value::bigint), 0)::bigint FROM jsonb_each_text(
                CASE WHEN jsonb_typeof(plan->'counts') = 'object' THEN plan->'counts' ELSE '{}' END) c
                WHERE starts_with(c.key, 'invalid_')) AS planned
        FROM tidemill.sync_runs WHERE sync_id = s.id AND status NOT IN ('skipped', 'running')
        ORDER BY number DESC LIMIT 1
    ) r ON true
    ON CONFLICT (sync_id) DO UPDATE SET last_began_at = excluded.last_began_at, last_taken = excluded.last_taken
"""


def upgrade() -> None:
    """Make them. Programs of before leave them as they are: what they run meanwhile is told after its next run."""
    op.create_index("sync_runs_began", "sync_runs", ["began_at", "id"], schema="tidemill")
    op.create_index("sync_runs_status", "sync_runs", ["status", "began_at", "id"], schema="tidemill")
    op.create_index("sync_runs_of_sync", "sync_runs", ["sync_id", "began_at", "id"], schema="tidemill")
    op.create_index("syncs_model", "syncs", ["model_id"], schema="tidemill")
    op.create_index("syncs_destination", "syncs", ["destination_id"], schema="tidemill")
    op.create_index("source_models_connection", "source_models", ["connection_id"], schema="tidemill")
    op.add_column("dbt_projects", sa.Column("summary", postgresql.JSONB()), schema="tidemill")
    op.add_column("sync_totals", sa.Column("last_began_at", sa.DateTime(timezone=True)), schema="tidemill")
    op.add_column("sync_totals", sa.Column("last_taken", sa.BigInteger()), schema="tidemill")
    op.execute(_TOLD)
