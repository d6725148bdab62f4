"""The tables of people who use the web app, of their sessions, and of who did what."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, id_column, metadata

users = sa.Table(
    "users",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text),  # its hash, by argon2id; null: none, they sign in elsewhere
    sa.Column("subject", sa.Text, unique=True),  # who they are where they sign in; null: not elsewhere
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("last_seen_at", MOMENT),
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
)
sa.Index("users_name", sa.func.lower(users.c.name), unique=True)

user_sessions = sa.Table(
    "user_sessions",  # who is signed in
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),  # of what the browser keeps
    sa.Column("user_id", sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("seen_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("user_sessions_of_user", user_sessions.c.user_id)

sign_in_failures = sa.Table(
    "sign_in_failures",  # also of names that nobody has: who guesses does not learn which there are
    metadata,
    sa.Column("name_hash", sa.LargeBinary, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),  # since the last sign-in
    sa.Column("last_at", MOMENT, nullable=False),
    sa.Column("locked_until", MOMENT),
)

setup_tokens = sa.Table(
    "setup_tokens",  # by which the first account is made
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
)

audit_log = sa.Table(
    "audit_log",  # who did what
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),  # user, token, shell
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False, server_default="begun"),  # begun, done, refused, failed
    sa.Column("code", sa.Text, nullable=False, server_default=""),  # of the error
    sa.Column("details", pg.JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("before", pg.JSONB),
    sa.Column("after", pg.JSONB),
)
sa.Index("audit_log_at", audit_log.c.at, audit_log.c.id)
sa.Index("audit_log_of", audit_log.c.kind, audit_log.c.name, audit_log.c.id)
sa.Index("audit_log_by", audit_log.c.actor, audit_log.c.id)
