"""The tables of reverse ETL: sources, source models, destinations, syncs, their runs, and what became of rows."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.tables import MOMENT, NOW, connections, id_column, metadata

sources = sa.Table(
    "sources",  # connections that rows are read from
    metadata,
    sa.Column("connection_id", sa.ForeignKey(connections.c.id, ondelete="RESTRICT"), primary_key=True),
    sa.Column("access", sa.Text, nullable=False),  # full, limited, read-only
    sa.Column("state_dataset", sa.Text),  # null: read-only
    sa.Column("location", sa.Text),
    sa.Column("made_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("made_by", sa.Text, nullable=False),
)

source_models = sa.Table(
    "source_models",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("connection_id", sa.ForeignKey(sources.c.connection_id, ondelete="RESTRICT"), nullable=False),
    sa.Column("spec", pg.JSONB, nullable=False),
    sa.Column("made_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("source_models_name", sa.func.lower(source_models.c.name), unique=True)
sa.Index("source_models_connection", source_models.c.connection_id)

destinations = sa.Table(
    "destinations",  # accounts of tools that rows are delivered to
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),  # what it signs in as, without a secret: limits are kept by it
    sa.Column("settings", pg.JSONB, nullable=False),  # what may be shown
    sa.Column("secret", sa.LargeBinary),  # what may not, a JSON object, encrypted
    sa.Column("made_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("destinations_name", sa.func.lower(destinations.c.name), unique=True)

syncs = sa.Table(
    "syncs",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("model_id", sa.ForeignKey(source_models.c.id, ondelete="RESTRICT"), nullable=False),
    sa.Column("destination_id", sa.ForeignKey(destinations.c.id, ondelete="RESTRICT"), nullable=False),
    sa.Column("spec", pg.JSONB, nullable=False),
    sa.Column("columns", pg.JSONB),  # of which the hashes of its state are made; null: it has none yet
    sa.Column("pending", sa.Text),  # what is to be done before the next plan: resend, adopt, leave, forget
    sa.Column("position", sa.Text),  # of the cursor, up to which rows were seen
    sa.Column("seen", sa.Text),  # how the tables of the model were when it was last gone through; null: not known
    sa.Column("next_at", MOMENT),  # when it is due by its schedule; null: never
    sa.Column("worker", sa.Text),  # who has it now
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),  # of the run that is due, in vain
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),  # in a row
    sa.Column("paused_at", MOMENT),
    sa.Column("paused_by", sa.Text),
    sa.Column("pause_reason", pg.JSONB),  # code, message, hint; null: somebody wanted it
    sa.Column("made_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("syncs_name", sa.func.lower(syncs.c.name), unique=True)
sa.Index("syncs_model", syncs.c.model_id)
sa.Index("syncs_destination", syncs.c.destination_id)
sa.Index("syncs_due", syncs.c.next_at, postgresql_where=syncs.c.paused_at.is_(None))

sync_runs = sa.Table(
    "sync_runs",
    metadata,
    id_column(),
    sa.Column("sync_id", sa.ForeignKey(syncs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # running, completed, skipped, failed, cancelled
    sa.Column("step", sa.Text, nullable=False),  # plan, deliver, commit, done
    sa.Column("spec", pg.JSONB, nullable=False),  # the sync's and the model's, as they were when it began
    sa.Column("plan", pg.JSONB),  # counts and pieces; null: not planned yet
    sa.Column("written", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("to_retry", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bytes_billed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("error", pg.JSONB),  # code, message, hint
    sa.Column("notes", pg.JSONB, nullable=False, server_default="[]"),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("began_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("began_by", sa.Text, nullable=False),
    sa.Column("finished_at", MOMENT),
    sa.UniqueConstraint("sync_id", "number"),
)
sa.Index("sync_runs_one_at_a_time", sync_runs.c.sync_id, unique=True, postgresql_where=sync_runs.c.status == "running")

# Lists of them, by pages, newest first: all, or those of a status, or of a sync.
sa.Index("sync_runs_began", sync_runs.c.began_at, sync_runs.c.id)
sa.Index("sync_runs_status", sync_runs.c.status, sync_runs.c.began_at, sync_runs.c.id)
sa.Index("sync_runs_of_sync", sync_runs.c.sync_id, sync_runs.c.began_at, sync_runs.c.id)

_SUMS = ("completed", "skipped", "failed", "cancelled", "written", "rejected", "to_retry", "billed_bytes")
sync_totals = sa.Table(
    "sync_totals",  # of a sync, all its runs that are over: nobody counts them anew who asks
    metadata,
    sa.Column("sync_id", sa.ForeignKey(syncs.c.id, ondelete="CASCADE"), primary_key=True),
    *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in _SUMS),
    sa.Column("seconds", sa.Double, nullable=False, server_default="0"),  # of those that were completed
    sa.Column("last_status", sa.Text),  # of the last that was not skipped
    sa.Column("last_finished_at", MOMENT),
    sa.Column("last_seconds", sa.Double),
    sa.Column("last_rows_left", sa.BigInteger),  # rows that the last that was completed did not get across
    sa.Column("last_success_at", MOMENT),
    sa.Column("last_error", pg.JSONB),  # code, message, hint: of the last that was not skipped; null: it went well
    sa.Column("last_began_at", MOMENT),  # of the last that was begun, whatever became of it
    # Share of rows that the last took, of those that were not skipped: sync_states.
    sa.Column("last_taken", sa.BigInteger),
    postgresql_with={"fillfactor": "70"},
)

sync_calls = sa.Table(
    "sync_calls",  # the journal: outcomes of rows of a run, kept until it is over
    metadata,
    sa.Column("number", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("run_id", sa.ForeignKey(sync_runs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("piece", sa.Integer, nullable=False),
    sa.Column("positions", pg.INT4MULTIRANGE, nullable=False),  # of the rows in the piece that have an outcome now
    sa.Column("others", pg.JSONB, nullable=False),  # of these, those that were not written: position, status, code, …
)
sa.Index("sync_calls_run", sync_calls.c.run_id, sync_calls.c.piece)

sync_rejects = sa.Table(
    "sync_rejects",  # rows that the destination, or a check of ours, does not take: the last version of each
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("sync_id", sa.ForeignKey(syncs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("op", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # rejected, retry
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("row", pg.JSONB),  # as it was read
    sa.Column("tries", sa.Integer, nullable=False, server_default="1"),
    sa.Column("first_run", sa.Integer, nullable=False),
    sa.Column("last_run", sa.Integer, nullable=False),
    sa.Column("last_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("here", sa.Boolean, nullable=False, server_default=sa.false()),  # refused before it was sent
)
#: A key may be longer than what an index takes.
sa.Index("sync_rejects_key", sync_rejects.c.sync_id, sa.func.md5(sync_rejects.c.key), unique=True)

paces = sa.Table(
    "paces",  # of accounts of destinations: what is left of what they allow
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("calls", sa.Float, nullable=False),
    sa.Column("rows", sa.Float, nullable=False),
    sa.Column("at", MOMENT, nullable=False),
    sa.Column("not_before", MOMENT),  # it asked to wait until then
)
