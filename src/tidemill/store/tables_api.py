"""The tables of the API: tokens, and what was asked for by them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, exports, id_column, metadata, runs
from tidemill.store.tables_sync import syncs

tokens = sa.Table(
    "tokens",  # by which programs use the API
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),  # the token itself is kept nowhere
    sa.Column("start", sa.Text, nullable=False),  # its first characters, by which people know it again
    sa.Column("scopes", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("expires_at", MOMENT),  # null: it does not
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("revoked_at", MOMENT),
)
sa.Index("tokens_name", sa.func.lower(tokens.c.name), unique=True, postgresql_where=tokens.c.revoked_at.is_(None))

sync_triggers = sa.Table(
    "sync_triggers",  # somebody wanted a run of a sync, beside its schedule
    metadata,
    id_column(),
    sa.Column("sync_id", sa.ForeignKey(syncs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # of the run; if there is none yet, of the next one
    sa.Column("already", sa.Boolean, nullable=False),  # whether that was at work, or waited
    sa.Column("forced", sa.Boolean, nullable=False),  # also if no table of the model has changed
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("token_id", sa.ForeignKey(tokens.c.id, ondelete="CASCADE")),  # null: not by the API
    sa.Column("key_hash", sa.LargeBinary),  # of its Idempotency-Key; null: it had none, or that is over
    sa.Column("error", pg.JSONB),  # why no run could begin: code, message, hint
)
sa.Index("sync_triggers_of_sync", sync_triggers.c.sync_id, sync_triggers.c.number)
sa.Index("sync_triggers_once", sync_triggers.c.token_id, sync_triggers.c.key_hash, unique=True)

calls = sa.Table(
    "calls",  # that have an Idempotency-Key, for a day: made again, they are answered as before
    metadata,
    sa.Column("token_id", sa.ForeignKey(tokens.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("key_hash", sa.LargeBinary, primary_key=True),
    sa.Column("at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("told", sa.LargeBinary, nullable=False),  # what was asked for, by a hash, and answered: encrypted
    sa.Column("is_over", sa.Boolean, nullable=False, server_default=sa.false()),  # it was answered
)
sa.Index("calls_age", calls.c.at)

export_triggers = sa.Table(
    "export_triggers",  # somebody wants a run of an export, beside its schedule: a queue of workers
    metadata,
    id_column(),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # run, retry, again, rejects
    sa.Column("run_id", sa.ForeignKey(runs.c.id, ondelete="CASCADE")),  # the one that is meant
    sa.Column("code", sa.Text),  # of rejects: those that were set aside for this
    sa.Column("arrived", sa.Boolean),  # of a retry: whether the rows of an unconfirmed commit are in the table
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),  # not before
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("worker", sa.Text),  # who has it; null: nobody
    sa.Column("taken_at", MOMENT),
    sa.Column("finished_at", MOMENT),
    sa.Column("error", pg.JSONB),  # code, message, hint: why it failed, or what it waits for
    sa.Column("runs", pg.ARRAY(pg.UUID(as_uuid=True)), nullable=False, server_default="{}"),  # that were moved
)
_WAITS = export_triggers.c.worker.is_(None) & export_triggers.c.finished_at.is_(None)
sa.Index("export_triggers_due", export_triggers.c.due_at, postgresql_where=_WAITS)
sa.Index("export_triggers_taken", export_triggers.c.worker, postgresql_where=export_triggers.c.worker.is_not(None))
sa.Index("export_triggers_of_export", export_triggers.c.export_id, export_triggers.c.at)

hooks = sa.Table(
    "hooks",  # addresses by which somebody outside has an export or a sync run
    metadata,
    id_column(),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE")),
    sa.Column("sync_id", sa.ForeignKey(syncs.c.id, ondelete="CASCADE")),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),  # the secret itself is kept nowhere
    sa.Column("start", sa.Text, nullable=False),  # its first characters, by which people know it again
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("last_used_at", MOMENT),
    sa.Column("revoked_at", MOMENT),
    sa.CheckConstraint("(export_id IS NULL) <> (sync_id IS NULL)", name="hooks_of_one"),
)
sa.Index("hooks_of_export", hooks.c.export_id)
sa.Index("hooks_of_sync", hooks.c.sync_id)

event_uploads = sa.Table(
    "event_uploads",  # files of events that were sent by the API: a queue of workers
    metadata,
    id_column(),
    sa.Column("file", sa.Text, nullable=False),  # as who sent it calls it
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("team_id", sa.BigInteger),  # null: each event's own
    sa.Column("mapping", pg.JSONB, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),  # not before
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("worker", sa.Text),  # who has it; null: nobody
    sa.Column("taken_at", MOMENT),
    sa.Column("finished_at", MOMENT),
    sa.Column("is_cancelled", sa.Boolean, nullable=False, server_default=sa.false()),  # somebody wants it to stop
    sa.Column("bytes_read", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows", sa.BigInteger, nullable=False, server_default="0"),  # that were added so far
    sa.Column("result", pg.JSONB),  # what came of it, once it is done
    sa.Column("error", pg.JSONB),  # code, message, hint: why it failed, or what it waits for
)
_UPLOAD_WAITS = event_uploads.c.worker.is_(None) & event_uploads.c.finished_at.is_(None)
sa.Index("event_uploads_due", event_uploads.c.due_at, postgresql_where=_UPLOAD_WAITS)
sa.Index("event_uploads_at", event_uploads.c.at, event_uploads.c.id)
