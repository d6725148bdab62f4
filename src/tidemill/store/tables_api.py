"""The tables of the API: tokens, and what was asked for by them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, id_column, metadata
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
