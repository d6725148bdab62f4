"""Reverse ETL: sources, source models, destinations, syncs, their runs, and rows that were not taken."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0021"
down_revision = "0020"

_MOMENT = sa.DateTime(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    """Make the tables."""
    _sources()
    _things()
    _syncs()
    _runs()
    _rows()


def _sources() -> None:
    op.create_table(
        "sources",
        sa.Column("connection_id", sa.UUID(), _key("connections", "RESTRICT"), primary_key=True),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("state_dataset", sa.Text()),
        sa.Column("location", sa.Text()),
        *_made(),
        schema="tidemill",
    )


def _things() -> None:
    op.create_table(
        "source_models",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "connection_id",
            sa.UUID(),
            sa.ForeignKey("tidemill.sources.connection_id", ondelete="RESTRICT"),
            nullable=False,
        ),
        sa.Column("spec", pg.JSONB(), nullable=False),
        *_made(changes=True),
        schema="tidemill",
    )
    _named("source_models")
    op.create_table(
        "destinations",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("settings", pg.JSONB(), nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        *_made(changes=True),
        schema="tidemill",
    )
    _named("destinations")


def _syncs() -> None:
    op.create_table(
        "syncs",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model_id", sa.UUID(), _key("source_models", "RESTRICT"), nullable=False),
        sa.Column("destination_id", sa.UUID(), _key("destinations", "RESTRICT"), nullable=False),
        sa.Column("spec", pg.JSONB(), nullable=False),
        sa.Column("columns", pg.JSONB()),
        sa.Column("pending", sa.Text()),
        sa.Column("position", sa.Text()),
        sa.Column("seen", sa.Text()),
        sa.Column("next_at", _MOMENT),
        sa.Column("worker", sa.Text()),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("paused_at", _MOMENT),
        sa.Column("paused_by", sa.Text()),
        sa.Column("pause_reason", pg.JSONB()),
        *_made(changes=True),
        schema="tidemill",
    )
    _named("syncs")
    unpaused = sa.text("paused_at IS NULL")
    op.create_index("syncs_due", "syncs", ["next_at"], schema="tidemill", postgresql_where=unpaused)


def _runs() -> None:
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("sync_id", sa.UUID(), _key("syncs", "CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("spec", pg.JSONB(), nullable=False),
        sa.Column("plan", pg.JSONB()),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _COUNTS),
        sa.Column("error", pg.JSONB()),
        sa.Column("notes", pg.JSONB(), nullable=False, server_default="[]"),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("began_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("began_by", sa.Text(), nullable=False),
        sa.Column("finished_at", _MOMENT),
        sa.UniqueConstraint("sync_id", "number"),
        schema="tidemill",
    )
    running = sa.text("status = 'running'")
    op.create_index(
        "sync_runs_one_at_a_time", "sync_runs", ["sync_id"], unique=True, schema="tidemill", postgresql_where=running
    )


_COUNTS = ("written", "rejected", "to_retry", "bytes_billed")


def _rows() -> None:
    op.create_table(
        "sync_calls",
        sa.Column("number", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("run_id", sa.UUID(), _key("sync_runs", "CASCADE"), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=False),
        sa.Column("positions", pg.INT4MULTIRANGE(), nullable=False),
        sa.Column("others", pg.JSONB(), nullable=False),
        schema="tidemill",
    )
    op.create_index("sync_calls_run", "sync_calls", ["run_id", "piece"], schema="tidemill")
    op.create_table(
        "sync_rejects",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("sync_id", sa.UUID(), _key("syncs", "CASCADE"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("key", "op", "status", "code", "message")),
        sa.Column("row", pg.JSONB()),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("first_run", sa.Integer(), nullable=False),
        sa.Column("last_run", sa.Integer(), nullable=False),
        sa.Column("last_at", _MOMENT, nullable=False, server_default=_NOW),
        schema="tidemill",
    )
    op.create_index(
        "sync_rejects_key", "sync_rejects", ["sync_id", sa.text("md5(key)")], unique=True, schema="tidemill"
    )
    op.create_table(
        "paces",
        sa.Column("account", sa.Text(), primary_key=True),
        sa.Column("calls", sa.Float(), nullable=False),
        sa.Column("rows", sa.Float(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("not_before", _MOMENT),
        schema="tidemill",
    )


def _key(table: str, then: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"tidemill.{table}.id", ondelete=then)


def _made(*, changes: bool = False) -> list[sa.Column[object]]:
    found: list[sa.Column[object]] = [
        sa.Column("made_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("made_by", sa.Text(), nullable=False),
    ]
    return [*found, sa.Column("updated_at", _MOMENT, nullable=False, server_default=_NOW)] if changes else found


def _named(table: str) -> None:
    op.create_index(f"{table}_name", table, [sa.text("lower(name)")], unique=True, schema="tidemill")
