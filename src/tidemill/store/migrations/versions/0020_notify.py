"""Notifications: channels, what is wrong with exports, and messages until they are sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0020"
down_revision = "0019"


_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    _channels()
    _notices()
    _troubles()
    _deliveries()


def _channels() -> None:
    op.create_table(
        "channels",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("settings", pg.JSONB(), nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("causes", pg.ARRAY(sa.Text())),
        sa.Column("exports", pg.ARRAY(sa.UUID())),
        sa.Column("made_at", _MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("lease", sa.UUID()),
        sa.Column("leased_until", _MOMENT),
        sa.Column("sent_at", _MOMENT),
        sa.Column("failing_since", _MOMENT),
        sa.Column("error", pg.JSONB()),
        schema="tidemill",
    )
    op.create_index("channels_name", "channels", [sa.text("lower(name)")], unique=True, schema="tidemill")


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.UUID(), primary_key=True),
        _reference("export_id", "exports"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("facts", pg.JSONB(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        schema="tidemill",
    )
    op.create_index("notices_export", "notices", ["export_id"], schema="tidemill")
    op.create_index("notices_age", "notices", ["created_at"], schema="tidemill")


def _troubles() -> None:
    op.create_table(
        "troubles",
        _reference("export_id", "exports", primary_key=True),
        sa.Column("cause", sa.Text(), primary_key=True),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("told_at", _MOMENT),
        sa.Column("notice_id", sa.UUID(), sa.ForeignKey("tidemill.notices.id", ondelete="SET NULL")),
        sa.Column("over_at", _MOMENT),
        schema="tidemill",
    )
    op.create_index(
        "troubles_open", "troubles", ["cause"], schema="tidemill", postgresql_where=sa.text("over_at IS NULL")
    )
    op.create_index("troubles_notice", "troubles", ["notice_id"], schema="tidemill")


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("number", sa.BigInteger(), sa.Identity(), primary_key=True),
        _reference("notice_id", "notices"),
        _reference("channel_id", "channels"),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("left", pg.JSONB()),
        sa.Column("error", pg.JSONB()),
        sa.Column("sent_at", _MOMENT),
        sa.Column("given_up_at", _MOMENT),
        sa.UniqueConstraint("notice_id", "channel_id"),
        schema="tidemill",
    )
    waits = sa.text("sent_at IS NULL AND given_up_at IS NULL")
    op.create_index("deliveries_due", "deliveries", ["channel_id", "due_at"], schema="tidemill", postgresql_where=waits)


def _reference(name: str, table: str, *, primary_key: bool = False) -> sa.Column[object]:
    key = sa.ForeignKey(f"tidemill.{table}.id", ondelete="CASCADE")
    return sa.Column(name, sa.UUID(), key, primary_key=primary_key, nullable=False)
