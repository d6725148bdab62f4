"""Forgets workflows that ended some time ago: `runs` says what became of each, and DBOS keeps them for ever."""

from __future__ import annotations

import psycopg

#: After so many hours; so many at once, for whoever waits for the tables.
_HOURS, _MOST = 24, 5_000
#: Not one whose parent is at work: gone on with, that would look for it.
_PRUNE = f"""
    WITH old AS MATERIALIZED (
        SELECT s.workflow_uuid FROM dbos.workflow_status s
        LEFT JOIN dbos.workflow_status p ON p.workflow_uuid = s.parent_workflow_id
        WHERE s.completed_at < (extract(epoch FROM now()) - %s * 3600) * 1000
            AND s.status IN ('SUCCESS', 'ERROR', 'CANCELLED')
            AND (p.status IS NULL OR p.status NOT IN ('PENDING', 'ENQUEUED'))
        ORDER BY s.completed_at LIMIT {_MOST}
    ), steps AS (
        DELETE FROM dbos.operation_outputs o USING old WHERE o.workflow_uuid = old.workflow_uuid
    ), inputs AS (
        DELETE FROM dbos.workflow_input i USING old WHERE i.workflow_uuid = old.workflow_uuid
    ), outputs AS (
        DELETE FROM dbos.workflow_output o USING old WHERE o.workflow_uuid = old.workflow_uuid
    )
    DELETE FROM dbos.workflow_status s USING old WHERE s.workflow_uuid = old.workflow_uuid
"""


def prune(session: psycopg.Connection[tuple[object, ...]], hours: float = _HOURS) -> int:
    """Forget some of those that ended so long ago. Gives how many that were."""
    return session.execute(_PRUNE.encode(), [hours]).rowcount
