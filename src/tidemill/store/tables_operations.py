"""The table of operations: what somebody has asked for that takes long, and that a worker does to its end."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, id_column, metadata

operations = sa.Table(
    "operations",  # a queue of workers
    metadata,
    id_column(),
    sa.Column("kind", sa.Text, nullable=False),  # import_undo, person_delete, sync_rows, sync_deletes
    sa.Column("subject", sa.Text, nullable=False),  # what it is about: of the same one is done at a time
    sa.Column("name", sa.Text, nullable=False),  # how that is called; empty: it is to be forgotten
    sa.Column("wanted", pg.JSONB, nullable=False),  # by its kind
    sa.Column("mark", sa.Text, nullable=False),  # a hash of kind, subject and wanted
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),  # not before
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("worker", sa.Text),  # who has it; null: nobody
    sa.Column("taken_at", MOMENT),
    sa.Column("finished_at", MOMENT),
    sa.Column("error", pg.JSONB),  # code, message, hint: why it failed, or what it waits for
    sa.Column("progress", pg.JSONB, nullable=False, server_default=sa.text("'{}'")),  # see operations/progress.py
    sa.Column("audit_id", sa.BigInteger),  # the record of the audit log, which ends with it; null: there is none
)
_OPEN = operations.c.finished_at.is_(None)
sa.Index("operations_open", operations.c.mark, unique=True, postgresql_where=_OPEN)
sa.Index("operations_due", operations.c.due_at, postgresql_where=_OPEN & operations.c.worker.is_(None))
sa.Index("operations_of", operations.c.subject, operations.c.at)
