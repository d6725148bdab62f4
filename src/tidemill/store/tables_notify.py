"""The tables of notifications: whom to tell, what is wrong, and messages until they are sent.

Of an export or a sync that is deleted, a trigger deletes troubles and messages (migration 0022).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import metadata

_NOW = sa.text("now()")
_MOMENT = sa.DateTime(timezone=True)

channels = sa.Table(
    "channels",  # by which people are told
    metadata,
    sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # email, webhook, slack
    sa.Column("address", sa.Text, nullable=False),  # where messages go, without what is secret of it
    sa.Column("settings", pg.JSONB, nullable=False),  # what may be shown
    sa.Column("secret", sa.LargeBinary),  # what may not, a JSON object, encrypted
    sa.Column("causes", pg.ARRAY(sa.Text)),  # null: all
    sa.Column("exports", pg.ARRAY(pg.UUID(as_uuid=True))),  # and syncs; null: all, also those that come
    sa.Column("made_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("lease", pg.UUID(as_uuid=True)),  # of who sends its messages now
    sa.Column("leased_until", _MOMENT),
    sa.Column("sent_at", _MOMENT),  # when a message was last taken by it
    sa.Column("failing_since", _MOMENT),
    sa.Column("error", pg.JSONB),  # code, message, hint: of the last try; null: it went well
)
sa.Index("channels_name", sa.func.lower(channels.c.name), unique=True)

notices = sa.Table(
    "notices",  # messages, to any number of channels
    metadata,
    sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
    sa.Column("export_id", pg.UUID(as_uuid=True), nullable=False),  # or of a sync
    sa.Column("kind", sa.Text, nullable=False),  # a cause, or "recovered"
    sa.Column("facts", pg.JSONB, nullable=False),  # of which its words are made
    sa.Column("created_at", _MOMENT, nullable=False),
)
sa.Index("notices_export", notices.c.export_id)
sa.Index("notices_age", notices.c.created_at)

troubles = sa.Table(
    "troubles",  # of exports and syncs, by cause: the last one of each
    metadata,
    sa.Column("export_id", pg.UUID(as_uuid=True), primary_key=True),  # or of a sync
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("began_at", _MOMENT, nullable=False),
    sa.Column("seen_at", _MOMENT, nullable=False),  # last
    sa.Column("told_at", _MOMENT),  # last, of this one or one before
    sa.Column("notice_id", sa.ForeignKey(notices.c.id, ondelete="SET NULL")),  # by which it was told
    sa.Column("over_at", _MOMENT),  # null: it lasts
    sa.Column("facts", pg.JSONB),  # what was seen last; null: by a program that did not keep that
)
sa.Index("troubles_open", troubles.c.cause, postgresql_where=troubles.c.over_at.is_(None))
sa.Index("troubles_notice", troubles.c.notice_id)

deliveries = sa.Table(
    "deliveries",  # of a message by a channel
    metadata,
    sa.Column("number", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("notice_id", sa.ForeignKey(notices.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("channel_id", sa.ForeignKey(channels.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("due_at", _MOMENT, nullable=False),  # not before
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("left", pg.JSONB),  # recipients who have not got it; null: all
    sa.Column("error", pg.JSONB),  # code, message, hint: of the last try
    sa.Column("sent_at", _MOMENT),
    sa.Column("given_up_at", _MOMENT),
    sa.UniqueConstraint("notice_id", "channel_id"),
)
WAITS = deliveries.c.sent_at.is_(None) & deliveries.c.given_up_at.is_(None)
sa.Index("deliveries_due", deliveries.c.channel_id, deliveries.c.due_at, postgresql_where=WAITS)
