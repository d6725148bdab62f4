"""The tables of the metadata database, in the schema `tidemill`. A change needs a file in `migrations/versions`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

SCHEMA = "tidemill"
metadata = sa.MetaData(schema=SCHEMA)

NOW = sa.text("now()")
MOMENT = sa.DateTime(timezone=True)


def id_column() -> sa.Column[object]:
    """The key of a table of things that have names of their own."""
    return sa.Column("id", pg.UUID(as_uuid=True), primary_key=True)


connections = sa.Table(
    "connections",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("location", sa.Text),
    sa.Column("adc", sa.Boolean, nullable=False),
    sa.Column("impersonate", sa.Text),
    sa.Column("account", sa.Text),  # e-mail of the service account, not secret
    sa.Column("key", sa.LargeBinary),  # the service account key, encrypted
    sa.Column("connected_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("connected_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("deleting_at", MOMENT),  # since then nothing new is begun on it
    sa.Column("deleting_by", sa.Text),
    sa.Column("changed_at", MOMENT),  # since when it signs in, and points, as it does; null: always
)
sa.Index("connections_name", sa.func.lower(connections.c.name), unique=True)

connection_tests = sa.Table(
    "connection_tests",  # the last one of each
    metadata,
    sa.Column("connection_id", sa.ForeignKey(connections.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("use", sa.Text, nullable=False),  # batch, streaming
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("tested_at", MOMENT, nullable=False),  # when it began
    sa.Column("steps", pg.JSONB, nullable=False),  # name, title, status, message, hint, code, seconds
)

exports = sa.Table(
    "exports",
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("connection_id", sa.ForeignKey(connections.c.id, ondelete="RESTRICT"), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("table_id", sa.Text, nullable=False),
    sa.Column("spec", pg.JSONB, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False, server_default="0"),  # snapshot up to which it has exported
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
)
sa.Index("exports_name", sa.func.lower(exports.c.name), unique=True)
sa.Index("exports_target", exports.c.project, exports.c.dataset, exports.c.table_id, unique=True)
sa.Index("exports_connection", exports.c.connection_id)

backfills = sa.Table(
    "backfills",
    metadata,
    id_column(),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # running, paused, failed, completed, cancelled
    sa.Column("time_from", MOMENT),  # null: all rows, of a model without times
    sa.Column("time_to", MOMENT),
    sa.Column("every", sa.Text, nullable=False),
    sa.Column("upto", sa.BigInteger, nullable=False),  # the export's position when it was made
    sa.Column("intervals", pg.JSONB, nullable=False),  # of those with rows: start, end, rows
    sa.Column("worker", sa.Text),
    sa.Column("parallel", sa.Integer),  # so many intervals at once, by workers; null: who began it moves it
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("finished_at", MOMENT),
)
UNFINISHED = ("running", "paused", "failed")
sa.Index(
    "backfills_one_at_a_time", backfills.c.export_id, unique=True, postgresql_where=backfills.c.status.in_(UNFINISHED)
)
sa.Index("backfills_of_export", backfills.c.export_id, backfills.c.created_at, backfills.c.id)

runs = sa.Table(
    "runs",
    metadata,
    id_column(),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("backfill_id", sa.ForeignKey(backfills.c.id, ondelete="CASCADE")),  # null: it exports what is new
    sa.Column("backfill_interval", sa.Integer),  # which of the backfill's intervals
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # running, completed, failed, cancelled
    sa.Column("mode", sa.Text, nullable=False),  # append, merge, upsert, replace, stream
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("spec", pg.JSONB, nullable=False),  # the export's, frozen when the run was planned
    sa.Column("snapshot_after", sa.BigInteger, nullable=False),
    sa.Column("snapshot_upto", sa.BigInteger, nullable=False),
    sa.Column("interval_start", MOMENT),  # that of the schedule; else first and last commit of the range
    sa.Column("interval_end", MOMENT),
    sa.Column("covers_until", MOMENT),  # all that was acknowledged before is in it, or in runs before it
    sa.Column("rows_planned", sa.BigInteger, nullable=False),
    sa.Column("rows_merged", sa.BigInteger),  # rows that a MERGE added or replaced; null for append
    sa.Column("merge_job", sa.Text),  # which was begun, or was about to be; while rows_merged is null it may be at work
    sa.Column("bytes_billed", sa.BigInteger, nullable=False, server_default="0"),  # of its statements
    sa.Column("notes", pg.JSONB, nullable=False, server_default="[]"),
    sa.Column("layout", pg.JSONB),  # columns to load, found when the table was prepared
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("error_hint", sa.Text),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("worker", sa.Text),
    sa.Column("scheduled", sa.Boolean, nullable=False, server_default=sa.false()),  # of an interval of the schedule
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("started_at", MOMENT),
    sa.Column("finished_at", MOMENT),
    sa.UniqueConstraint("export_id", "number"),
    sa.UniqueConstraint("backfill_id", "backfill_interval"),
)
sa.Index(
    "runs_one_at_a_time",
    runs.c.export_id,
    unique=True,
    # A stream's run says what was appended lately. It goes on beside runs that send rows of earlier ones again.
    postgresql_where=(runs.c.status == "running") & runs.c.backfill_id.is_(None) & (runs.c.mode != "stream"),
)
sa.Index(
    "runs_over",
    runs.c.finished_at,
    postgresql_where=(runs.c.status == "completed") & runs.c.backfill_id.is_(None),
)
sa.Index("runs_at_work", runs.c.created_at, postgresql_where=runs.c.status == "running")
# Lists of them, by pages, newest first: all, or those of a status, of an export, or of both.
sa.Index("runs_created", runs.c.created_at, runs.c.id)
sa.Index("runs_status", runs.c.status, runs.c.created_at, runs.c.id)
sa.Index("runs_of_export", runs.c.export_id, runs.c.created_at, runs.c.id)
sa.Index("runs_of_export_status", runs.c.export_id, runs.c.status, runs.c.created_at, runs.c.id)
sa.Index("runs_interval_once", runs.c.export_id, runs.c.interval_end, unique=True, postgresql_where=runs.c.scheduled)

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("run_id", sa.ForeignKey(runs.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("snapshot_after", sa.BigInteger, nullable=False),
    sa.Column("snapshot_upto", sa.BigInteger, nullable=False),
    sa.Column("time_from", MOMENT),
    sa.Column("time_to", MOMENT),
    sa.Column("rows_planned", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="planned"),  # planned, written, loaded
    sa.Column("rows_written", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_loaded", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_repaired", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bounds", pg.JSONB),  # of columns of the key: the first and the last value that was written
    sa.Column("job_id", sa.Text),
    sa.Column("started_at", MOMENT),
    sa.Column("finished_at", MOMENT),
)

streams = sa.Table(
    "streams",  # how far a streaming export is
    metadata,
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),  # who claims it, counts up: none before that may record anything
    sa.Column("run_id", sa.ForeignKey(runs.c.id, ondelete="SET NULL")),  # which is not over; null: nothing is appended
    sa.Column("name", sa.Text),  # of the write stream; null: none is open
    sa.Column("rows", sa.BigInteger, nullable=False),  # that are known to be in it
    sa.Column(
        "change", sa.BigInteger, nullable=False
    ),  # all rows up to this change, and number in it, are in the table
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("in_flight", pg.JSONB, nullable=False),  # appends that may be in: offset, rows, bytes, change, number
    sa.Column(
        "quiets", sa.Integer, nullable=False, server_default="0"
    ),  # how often somebody needed the table to be still
    sa.Column("sent_at", MOMENT),
    sa.Column("trouble", pg.JSONB),  # code, message, hint: why it stands still
)

verifications = sa.Table(
    "verifications",  # of all its rows: what was missing, there twice, or not expected
    metadata,
    id_column(),
    sa.Column("export_id", sa.ForeignKey(exports.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("daily", sa.Boolean, nullable=False),  # made by the calendar, not by hand
    sa.Column("since", sa.Date),  # the first day that counted; null: all
    sa.Column("expected", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("missing", sa.BigInteger, nullable=False),
    sa.Column("duplicated", sa.BigInteger, nullable=False),
    sa.Column("unexpected", sa.BigInteger, nullable=False),
    sa.Column("days_different", sa.BigInteger, nullable=False),
    sa.Column("bytes_billed", sa.BigInteger, nullable=False),
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
)
sa.Index("verifications_export", verifications.c.export_id, verifications.c.created_at)

loads = sa.Table(
    "loads",
    metadata,
    id_column(),
    sa.Column("file_key", sa.Text, nullable=False, unique=True),  # content, format, team and mapping
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("team_given", sa.Boolean, nullable=False, server_default=sa.false()),  # of all events, not of some
    sa.Column("content_key", sa.Text, nullable=False, server_default=""),  # of the file's content alone
    sa.Column("mapping", pg.JSONB, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # running, completed
    sa.Column("rows", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("duplicates", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rejects", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("started_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("finished_at", MOMENT),
)

rejects = sa.Table(
    "rejects",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),  # file_key of a load, or id of a run
    sa.Column("part", sa.Text, nullable=False),  # record in the file, or uuid of the event
    sa.Column("kind", sa.Text, nullable=False),  # load, run
    sa.Column("place", sa.Text, nullable=False),  # for people: file and line
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False),  # raw is the whole text, not its beginning
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("resolved_at", MOMENT),
    sa.UniqueConstraint("source", "part"),
)
sa.Index("rejects_source", rejects.c.source, rejects.c.id, postgresql_where=rejects.c.resolved_at.is_(None))

identity = sa.Table(
    "identity",  # one row
    metadata,
    sa.Column("one_row", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("snapshot", sa.BigInteger, nullable=False, server_default="0"),  # of the event store: all up to it is in
    sa.Column("change", sa.BigInteger, nullable=False, server_default="0"),  # number of the last change to people
    sa.Column("numbers", sa.BigInteger, nullable=False, server_default="0"),  # the last that was given to somebody
    sa.Column("versions", sa.BigInteger, nullable=False, server_default="0"),  # of persons begin with this one
    sa.CheckConstraint("one_row", name="identity_one_row"),
)

persons = sa.Table(
    "persons",
    metadata,
    sa.Column("team_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created_at", MOMENT, nullable=False),
    sa.Column("properties", sa.Text, nullable=False),  # a JSON object, its values as they came
    sa.Column("bytes", sa.Integer, sa.Computed("octet_length(properties)", persisted=True), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("identified", sa.Boolean, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("erased", sa.Boolean, nullable=False, server_default=sa.false()),  # also in tables: it is not exported
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
)
sa.Index("persons_change", persons.c.change)

distinct_ids = sa.Table(
    "distinct_ids",
    metadata,
    sa.Column("team_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("distinct_id", sa.Text, primary_key=True),
    sa.Column("person_id", sa.Text),  # null: it was sent only with events that want no person
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),  # of the person that it came to first: its amplitude_id
    sa.Column("change", sa.BigInteger, nullable=False),
)
sa.Index("distinct_ids_person", distinct_ids.c.team_id, distinct_ids.c.person_id)
sa.Index("distinct_ids_change", distinct_ids.c.change)

merge_ids = sa.Table(
    "merge_ids",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),  # it is merged once
    sa.Column("into_number", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("event_time", MOMENT, nullable=False),
    sa.Column("server_time", MOMENT, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
)
sa.Index("merge_ids_change", merge_ids.c.change)

device_users = sa.Table(
    "device_users",  # from an event on (its snapshot, and number in it) this user is the last that was seen on it
    metadata,
    sa.Column("team_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("snapshot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.Text, nullable=False),
)

former_numbers = sa.Table(
    "former_numbers",  # up to an event (its snapshot, and number in it) the id had this number: its person was deleted
    metadata,
    sa.Column("team_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("distinct_id", sa.Text, primary_key=True),
    sa.Column("snapshot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

erasures = sa.Table(
    "erasures",  # of persons on request, until all tables are done
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("wanted", sa.LargeBinary, nullable=False),  # JSON: lists of texts, by what they are
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
)

keys = sa.Table(
    "keys",  # by which SDKs send events
    metadata,
    id_column(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),  # the key itself is kept nowhere
    sa.Column("start", sa.Text, nullable=False),  # its first characters, by which people know it again
    sa.Column("events_per_second", sa.Integer),  # null: as many as come
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("revoked_at", MOMENT),
)
sa.Index("keys_name", sa.func.lower(keys.c.name), unique=True, postgresql_where=keys.c.revoked_at.is_(None))

identity_warnings = sa.Table(
    "identity_warnings",
    metadata,
    sa.Column("team_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("uuid", sa.Text, primary_key=True),  # of the event
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("distinct_id", sa.Text, nullable=False),
    sa.Column("other", sa.Text),
    sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
)
