"""The tables of what is done by itself: schedules, the queues of workers, quotas. They go with those of `tables.py`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, backfills, connections, exports, id_column, metadata

schedules = sa.Table(
    "schedules",  # of exports by runs: which interval is next
    metadata,
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("next_start", MOMENT, nullable=False),  # all intervals before are, or were, in the queue
    sa.Column("next_end", MOMENT),  # null: nothing is due any more, or it is run by hand alone
    sa.Column("expected_from", MOMENT, nullable=False),  # from here to next_start there is a run for each moment
    sa.Column("paused_at", MOMENT),
    sa.Column("paused_by", sa.Text),
    sa.Column("pause_reason", pg.JSONB),  # code, message, hint of what it was paused for; null: somebody wanted it
    sa.Column("served_at", MOMENT),  # when a worker last took a task of it: who waits longest is next
)
sa.Index("schedules_due", schedules.c.next_end, postgresql_where=schedules.c.paused_at.is_(None))

tasks = sa.Table(
    "tasks",  # the queue: intervals that have ended, until their run is completed
    metadata,
    id_column(),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("interval_start", MOMENT, nullable=False),
    sa.Column("interval_end", MOMENT, nullable=False),
    sa.Column("due_at", MOMENT, nullable=False),  # not before
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", pg.JSONB),  # code, message, hint: of the last try
    sa.Column("worker", sa.Text),  # who has it; null: nobody
    sa.Column("taken_at", MOMENT),
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.UniqueConstraint("export_id", "interval_end"),
)
sa.Index("tasks_due", tasks.c.due_at, postgresql_where=tasks.c.worker.is_(None))
sa.Index("tasks_taken", tasks.c.worker, postgresql_where=tasks.c.worker.is_not(None))

pieces = sa.Table(
    "pieces",  # the queue of intervals of backfills that workers move, until the run of each is over
    metadata,
    sa.Column("backfill_id", sa.ForeignKey(backfills.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),  # which of the backfill's intervals
    sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),  # not before
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("worker", sa.Text),  # who has it; null: nobody
    sa.Column("taken_at", MOMENT),
)
sa.Index("pieces_due", pieces.c.due_at, postgresql_where=pieces.c.worker.is_(None))
sa.Index("pieces_taken", pieces.c.worker, postgresql_where=pieces.c.worker.is_not(None))

failures = sa.Table(
    "failures",  # of tasks, in a way that does not pass by itself
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("interval_end", MOMENT, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("failed_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("failures_export", failures.c.export_id, failures.c.failed_at)

modifications = sa.Table(
    "modifications",  # of tables of BigQuery in the last day: what counts against their quotas
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("modified_at", MOMENT, nullable=False),
)
sa.Index("modifications_name", modifications.c.name, modifications.c.modified_at)
sa.Index("modifications_age", modifications.c.modified_at)

jobs = sa.Table(
    "jobs",  # of BigQuery that runs have at work: so many of a connection at once
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("connection_id", sa.ForeignKey(connections.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("began_at", MOMENT, nullable=False, server_default=NOW),
)
