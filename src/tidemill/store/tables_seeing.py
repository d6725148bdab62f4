"""Tables of what is seen of runs: the lines that they tell, and sums over those that are over."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import exports, metadata

_MOMENT = sa.DateTime(timezone=True)


def _sum(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


run_lines = sa.Table(
    "run_lines",  # what runs tell while they are at work. Without foreign keys: a line that comes late hurts nobody
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("run_id", pg.UUID(as_uuid=True)),
    sa.Column("export_id", pg.UUID(as_uuid=True)),  # of what belongs to no run
    sa.Column("at", _MOMENT, nullable=False),
    sa.Column("level", sa.SmallInteger, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("fields", pg.JSON, nullable=False),  # in the order in which they were told
    sa.Column("attempt", sa.Integer),
    sa.Column("process", sa.Text, nullable=False),
)
sa.Index("run_lines_run", run_lines.c.run_id, run_lines.c.id, postgresql_where=run_lines.c.run_id.is_not(None))
sa.Index("run_lines_export", run_lines.c.export_id, run_lines.c.id, postgresql_where=run_lines.c.export_id.is_not(None))

run_totals = sa.Table(
    "run_totals",  # of an export, all its runs that are over: nobody counts them anew who asks
    metadata,
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), primary_key=True),
    *(_sum(name) for name in ("completed", "failed", "cancelled")),
    *(_sum(name) for name in ("rows", "bytes", "written_bytes", "rejected", "repaired", "billed_bytes")),
    sa.Column("seconds", sa.Double, nullable=False, server_default="0"),  # of those that were completed
    sa.Column("last_status", sa.Text),  # of the last that exports what is new
    sa.Column("last_finished_at", _MOMENT),
    sa.Column("last_seconds", sa.Double),
    sa.Column("last_rows", sa.BigInteger),
    sa.Column("last_completed_at", _MOMENT),
    sa.Column("last_reached_at", _MOMENT),  # when one was completed for which BigQuery was asked: it had chunks
    sa.Column("last_error", pg.JSONB),  # code, message, hint: of the last that exports what is new; null: it went well
    sa.Column("covered_until", _MOMENT),  # all that was acknowledged before is in the table
    postgresql_with={"fillfactor": "70"},
)

backlogs = sa.Table(
    "backlogs",  # one row: how many events were committed after each position that exports have, a moment ago
    metadata,
    sa.Column("one_row", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("measured_at", _MOMENT, nullable=False),
    sa.Column("newest", sa.BigInteger, nullable=False),  # snapshot of the event store
    sa.Column("behind", pg.JSONB, nullable=False),  # position, rows, and when the first of them was committed
    sa.CheckConstraint("one_row", name="backlogs_one_row"),
)
