"""What nobody does that should be done: runs that are not begun, intervals without a run, streams that stand still."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.tables import SCHEMA
from tidemill.store.tasks import MOST_QUEUED

#: Since when something is due of each export, which may be in the future: what is next, if there is room for it in the
#: queue, or its first task, if nobody has that; those behind it wait for that one, and one that was queued late has
#: waited since then. Where no worker has ever run, exports are run by hand, and nothing is; nor of one that is paused.
DUE = f"""
    SELECT s.export_id, CASE WHEN s.paused_at IS NULL
        AND EXISTS (SELECT 1 FROM {SCHEMA}.schedules WHERE served_at IS NOT NULL)
        THEN least(CASE WHEN coalesce(q.number, 0) < {MOST_QUEUED} THEN s.next_end END,
            CASE WHEN t.worker IS NULL THEN t.waits END) END AS since
    FROM {SCHEMA}.schedules s
    LEFT JOIN (SELECT export_id, count(*) AS number FROM {SCHEMA}.tasks GROUP BY 1) q USING (export_id)
    LEFT JOIN (SELECT DISTINCT ON (export_id) export_id, worker, greatest(due_at, created_at) AS waits
        FROM {SCHEMA}.tasks ORDER BY export_id, interval_end) t USING (export_id)
"""
_OVERDUE = f"""
    SELECT e.id AS export_id, e.name, due.since FROM ({DUE}) due JOIN {SCHEMA}.exports e ON e.id = due.export_id
    WHERE due.since < now() - CAST(:late AS interval) AND (CAST(:export_id AS uuid) IS NULL OR e.id = :export_id)
"""
#: Intervals follow one another: one that is known, and does not begin where another one ended, lacks some before it.
#: Looked at are those that ended lately, the queue, and what is next.
_GAPS = f"""
    WITH known AS (
        SELECT s.export_id, r.interval_start AS start FROM {SCHEMA}.schedules s CROSS JOIN LATERAL (
            SELECT interval_start FROM {SCHEMA}.runs
            WHERE export_id = s.export_id AND scheduled AND interval_end > now() - CAST(:lately AS interval)) r
        UNION ALL SELECT export_id, interval_start FROM {SCHEMA}.tasks
        UNION ALL SELECT export_id, next_start FROM {SCHEMA}.schedules
    )
    SELECT DISTINCT ON (e.id) e.id AS export_id, e.name, k.start AS finish, greatest(s.expected_from, coalesce((
        SELECT max(interval_end) FROM {SCHEMA}.runs
        WHERE export_id = e.id AND scheduled AND interval_end <= k.start), s.expected_from)) AS start
    FROM known k
    JOIN {SCHEMA}.schedules s USING (export_id)
    JOIN {SCHEMA}.exports e ON e.id = k.export_id
    WHERE s.paused_at IS NULL AND k.start > s.expected_from
        AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.runs r WHERE r.export_id = e.id AND r.scheduled
            AND r.interval_end >= k.start AND r.interval_start < k.start)
        AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.tasks t WHERE t.export_id = e.id
            AND t.interval_end >= k.start AND t.interval_start < k.start)
    ORDER BY e.id, k.start
"""
#: Streams, and who has begun the last run of each.
_STREAMS = f"""
    SELECT e.id AS export_id, e.name, s.trouble, (
        SELECT created_by FROM {SCHEMA}.runs r WHERE r.export_id = e.id AND r.mode = 'stream'
        ORDER BY number DESC LIMIT 1) AS moved_by
    FROM {SCHEMA}.exports e JOIN {SCHEMA}.streams s ON s.export_id = e.id
    WHERE e.spec->>'mode' = 'stream'
"""


@dataclasses.dataclass(frozen=True)
class Overdue:
    """An export of which a run should have been begun."""

    export_id: uuid.UUID
    name: str
    since: dt.datetime


@dataclasses.dataclass(frozen=True)
class Gap:
    """The first span of an export's time that no run was made for."""

    export_id: uuid.UUID
    name: str
    start: dt.datetime
    finish: dt.datetime


@dataclasses.dataclass(frozen=True)
class Streamed:
    """A stream that has begun. `trouble`: code, message, hint of why it stands still; `moved_by`: of its last run."""

    export_id: uuid.UUID
    name: str
    trouble: dict[str, str] | None
    moved_by: str | None


class Late:
    """Asks for all exports at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def overdue(self, late: dt.timedelta, export_id: uuid.UUID | None = None) -> list[Overdue]:
        """Exports, or that one, of which something was due that long ago, and nobody has begun it."""
        which = {"late": late, "export_id": export_id}
        with self._database.begin() as connection:
            return [Overdue(**row._mapping) for row in connection.execute(sa.text(_OVERDUE), which)]

    def gaps(self, lately: dt.timedelta) -> list[Gap]:
        """Exports that lack a run before one that ended lately, or before what is next; none that is paused."""
        with self._database.begin() as connection:
            return [Gap(**row._mapping) for row in connection.execute(sa.text(_GAPS), {"lately": lately})]

    def streams(self) -> list[Streamed]:
        """Streams that have begun."""
        with self._database.begin() as connection:
            return [Streamed(**row._mapping) for row in connection.execute(sa.text(_STREAMS))]
