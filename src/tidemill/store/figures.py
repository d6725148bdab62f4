"""What a server tells of all exports at once: one statement, which looks at no run that is over."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.late import DUE
from tidemill.store.tables import SCHEMA
from tidemill.store.tables_seeing import backlogs

#: Of what runs, there are few: by the index of one at a time, those of backfills that run, and those of streams, whose
#: rows count as they are appended. Of the queue, only the first interval of an export can be late.
_ALL = sa.text(f"""
    WITH moved AS (
        SELECT id, export_id FROM {SCHEMA}.runs WHERE status = 'running' AND backfill_id IS NULL AND mode <> 'stream'
        UNION ALL SELECT r.id, r.export_id FROM {SCHEMA}.runs r JOIN {SCHEMA}.backfills b ON b.id = r.backfill_id
            WHERE r.status = 'running' AND b.status IN ('running', 'paused', 'failed')
        UNION ALL SELECT run_id, export_id FROM {SCHEMA}.streams WHERE run_id IS NOT NULL
    ), running AS (SELECT export_id, count(*) AS number FROM moved GROUP BY 1
    ), queued AS (SELECT export_id, count(*) AS number FROM {SCHEMA}.tasks GROUP BY 1
    ), next AS (SELECT DISTINCT ON (export_id) export_id, error FROM {SCHEMA}.tasks ORDER BY export_id, interval_end
    ), streaming AS (
        SELECT s.export_id, s.trouble, s.sent_at, c.rows_loaded, c.rows_rejected, c.bytes
        FROM {SCHEMA}.streams s LEFT JOIN {SCHEMA}.chunks c ON c.run_id = s.run_id)
    SELECT e.name, o.name AS connection, e.model, coalesce(e.spec->>'mode', 'batch') AS mode, e.position,
        coalesce(t.completed, 0) AS completed, coalesce(t.failed, 0) AS failed, coalesce(t.cancelled, 0) AS cancelled,
        coalesce(running.number, 0) AS running,
        coalesce(t.rows, 0) + coalesce(m.rows_loaded, 0) AS rows,
        coalesce(t.bytes, 0) + coalesce(m.bytes, 0) AS bytes,
        coalesce(t.written_bytes, 0) + coalesce(m.bytes, 0) AS written_bytes,
        coalesce(t.rejected, 0) + coalesce(m.rows_rejected, 0) AS rejected,
        coalesce(t.billed_bytes, 0) AS billed_bytes, coalesce(t.seconds, 0) AS seconds,
        coalesce(t.last_status = 'failed', false) AS last_failed, t.last_finished_at, t.last_seconds, t.last_rows,
        coalesce(m.sent_at, t.last_completed_at) AS last_completed_at, t.covered_until,
        coalesce(queued.number, 0) AS queued, s.next_end, s.paused_at IS NOT NULL AS paused,
        coalesce(jsonb_typeof(m.trouble), jsonb_typeof(next.error), 'null') <> 'null' AS troubled,
        due.since AS due_since
    FROM {SCHEMA}.exports e JOIN {SCHEMA}.connections o ON o.id = e.connection_id
    LEFT JOIN {SCHEMA}.run_totals t ON t.export_id = e.id
    LEFT JOIN {SCHEMA}.schedules s ON s.export_id = e.id
    LEFT JOIN running ON running.export_id = e.id LEFT JOIN queued ON queued.export_id = e.id
    LEFT JOIN ({DUE}) due ON due.export_id = e.id
    LEFT JOIN next ON next.export_id = e.id LEFT JOIN streaming m ON m.export_id = e.id
    ORDER BY e.name
""")
_TASKS = sa.text(f"""
    SELECT count(*) FILTER (WHERE worker IS NOT NULL) AS taken,
        count(*) FILTER (WHERE worker IS NULL AND due_at <= now()) AS due,
        count(*) FILTER (WHERE worker IS NULL AND due_at > now()) AS later
    FROM (
        SELECT worker, due_at FROM {SCHEMA}.tasks
        UNION ALL SELECT p.worker, p.due_at FROM {SCHEMA}.pieces p JOIN {SCHEMA}.backfills b ON b.id = p.backfill_id
            WHERE b.status = 'running'
    ) AS queues
""")


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one export. `rows` and the like: of runs that are over, and of a stream up to now; see records.Totals.

    `last_completed_at`: of a stream, when it sent last. `queued`: intervals whose run is not completed. `due_since`:
    when the next one ends, or the first that nobody has was due; in the future, if nothing is.
    """

    name: str
    connection: str
    model: str
    mode: str
    position: int
    completed: int
    failed: int
    cancelled: int
    running: int
    rows: int
    bytes: int
    written_bytes: int
    rejected: int
    billed_bytes: int
    seconds: float
    last_failed: bool
    last_finished_at: dt.datetime | None
    last_seconds: float | None
    last_rows: int | None
    last_completed_at: dt.datetime | None
    covered_until: dt.datetime | None
    queued: int
    next_end: dt.datetime | None
    paused: bool
    troubled: bool
    due_since: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Backlog:
    """How many events were committed after positions, when that was measured. `behind`: by position, rows, and when
    the first of them was committed, in seconds since 1970."""

    measured_at: dt.datetime
    newest: int
    behind: Mapping[int, tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class Installation:
    """All of it, at `now`, by the database's clock. `tasks`: intervals in the queues of workers, by how they stand."""

    now: dt.datetime
    exports: tuple[Figures, ...]
    tasks: Mapping[str, int]
    backlog: Backlog | None


class FiguresBook:
    """The repository of figures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> Installation:
        """How everything stands."""
        with self._database.begin() as connection:
            now: dt.datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
            exports = tuple(Figures(**row._mapping) for row in connection.execute(_ALL))
            tasks = connection.execute(_TASKS).one()._mapping
            found = connection.execute(sa.select(backlogs)).first()
        behind = {int(place): (int(rows), float(since)) for place, rows, since in found.behind} if found else {}
        backlog = Backlog(found.measured_at, int(found.newest), behind) if found else None
        return Installation(now, exports, dict(tasks), backlog)

    def positions(self, not_of: tuple[str, ...]) -> list[int]:
        """Where exports are, but for those of these models, in order."""
        text = f"SELECT DISTINCT position FROM {SCHEMA}.exports WHERE model <> ALL(:models) ORDER BY 1"
        models = sa.bindparam("models", list(not_of), type_=pg.ARRAY(sa.Text))
        with self._database.begin() as connection:
            return [int(place) for place in connection.scalars(sa.text(text).bindparams(models))]

    def measured_lately(self, seconds: float) -> bool:
        """Whether any process has measured the backlog within so many seconds."""
        young = backlogs.c.measured_at > sa.func.now() - dt.timedelta(seconds=seconds)
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(young))))

    def measured(self, newest: int, behind: Mapping[int, tuple[int, float]]) -> None:
        """The backlog is this, now."""
        values = {"measured_at": sa.func.now(), "newest": newest}
        values["behind"] = [[place, rows, since] for place, (rows, since) in behind.items()]
        insert = pg.insert(backlogs).values(values)
        with self._database.begin() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["one_row"], set_=values))
