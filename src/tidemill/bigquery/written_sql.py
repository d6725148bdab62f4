"""SQL of what syncs write down of their runs, for people who look with SQL: runs, rows, and how each row stands.

The shape is that of Hightouch's warehouse sync logs (research/reverse_etl.md §2.1). Runs and rows are added by one
INSERT each, which reads what the run's plan has: no row leaves the warehouse. How each row stands is a view of the
states. A table of it would be changed by a MERGE in each run, which reads the key of every row of the sync however few
changed; the view is billed when somebody looks, and the states have what it says.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from tidemill.bigquery import sql
from tidemill.bigquery.names import quoted
from tidemill.bigquery.sql import Place, Value
from tidemill.models.model import Column
from tidemill.models.types import Type

_SYNC_ID = Column("sync_id", Type.STRING, "The id of the sync: 32 hexadecimal digits, as in the name of its state.")
_RUN = Column("run_number", Type.INT64, "The number of the run among those of its sync.")
_KEY = Column("row_key", Type.STRING, "Of the row: its column as text, or a JSON array of several.")
#: What a run did.
RUNS = (
    _SYNC_ID,
    Column("sync_name", Type.STRING, "The name of the sync, as it was then."),
    _RUN,
    Column("model", Type.STRING, "The name of the source model."),
    Column("destination", Type.STRING, "The name of the destination."),
    Column("action", Type.STRING, "What the destination did with rows."),
    Column("status", Type.STRING, "completed, skipped (no table of the model had changed), failed, or cancelled."),
    Column("added", Type.INT64, "Rows of the model that were new; without those of `retried`."),
    Column("updated", Type.INT64, "Rows of the model that had changed; without those of `retried`."),
    Column("deleted", Type.INT64, "Rows that were gone from the model; without those of `retried`."),
    Column("unchanged", Type.INT64, "Rows of the model that were delivered before, as they are."),
    Column("retried", Type.INT64, "Rows that were to be delivered, and that an earlier run had tried in vain."),
    Column("invalid", Type.INT64, "Rows of the model that cannot be delivered: their key or cursor is none."),
    Column("written", Type.INT64, "Rows that the destination took."),
    Column("rejected", Type.INT64, "Rows that the destination, the mapping or a check refused."),
    Column("to_retry", Type.INT64, "Rows that the destination could not take then."),
    Column("bytes_billed", Type.INT64, "Bytes that the run was billed for, but for writing down what it did."),
    Column("error_code", Type.STRING, "Why the run did not come to its end; NULL: it did."),
    Column("error_message", Type.STRING, "The same in words."),
    Column("began_at", Type.TIMESTAMP, "When the run began."),
    Column("finished_at", Type.TIMESTAMP, "When all was done, but for this row."),
)
#: What became of each row of a run.
CHANGELOG = (
    _SYNC_ID,
    _RUN,
    _KEY,
    Column("op", Type.STRING, "What became of the row in the model: added, updated, or deleted."),
    Column("status", Type.STRING, "succeeded, rejected, retry (it could not be taken then), or unsent."),
    Column("failure_code", Type.STRING, "Of a row that is rejected, or to be tried again: why."),
    Column("failure_reason", Type.STRING, "The same in words: the destination's, as far as it said any."),
    Column(
        "tries",
        Type.INT64,
        "How often this version was tried, in this run, too. NULL: it was taken after it had been tried in vain.",
    ),
    Column("first_run", Type.INT64, "The number of the run that was to deliver this version first."),
    Column("recorded_at", Type.TIMESTAMP, "When it was written down: at the end of the run."),
)
#: How each row stands.
SNAPSHOT = (
    _SYNC_ID,
    _KEY,
    Column("status", Type.STRING, "succeeded (delivered, or taken as such), rejected, retry, or dropped (given up)."),
    Column("op", Type.STRING, "Of a row that is not delivered: what was tried, added, updated or deleted."),
    Column("failure_code", Type.STRING, "Of a row that is not delivered: why."),
    Column("failure_reason", Type.STRING, "The same in words, as long as sync_changelog has them."),
    Column("tries", Type.INT64, "Of a row that is not delivered: how often that version was tried. 0 of others."),
    Column("run_number", Type.INT64, "The number of the run that changed this row last."),
    Column("changed_at", Type.TIMESTAMP, "When that was."),
)
#: What they are called, with a sentence on each.
NAMES = {
    "sync_runs": "One row for each run of a sync of Tidemill.",
    "sync_changelog": "One row for each row that a run of a sync was to deliver, with what became of it.",
    "sync_snapshot": "Each row that a sync has delivered, or could not, as it stands now.",
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """What is written down of the rows of a run.

    `unacknowledged`: the table of those that were not; None: there are none. `state`: where it is known how often rows
    were tried; None: each for the first time. `untouched`: ranges of buckets of which nothing was sent.
    """

    sync_id: str
    run_number: int
    plan: Place
    unacknowledged: Place | None
    state: Place | None
    untouched: Sequence[tuple[int, int]]
    at: dt.datetime


def insert_run(into: Place, row: Mapping[str, Value | None]) -> str:
    """Add the row of a run."""
    return sql.insert_row(into, {name: value for name, value in row.items() if value is not None})


def insert_rows(into: Place, rows: Rows) -> str:
    """Add what became of the rows of a run."""
    names = ", ".join(f"`{column.name}`" for column in CHANGELOG)
    failed = "status IN ('rejected', 'retry')"
    return (
        f"INSERT INTO {quoted(*into)} ({names})\n"
        f"SELECT {sql.literal(rows.sync_id)}, {rows.run_number}, row_key, kind, status,\n"
        f"       IF({failed}, code, NULL), IF({failed}, message, NULL), {_tries(rows)}, since, {sql.literal(rows.at)}\n"
        f"FROM ({_statuses(rows)})"
    )


def _tries(rows: Rows) -> str:
    first = "IF(status = 'unsent', 0, 1)"
    if rows.state is None:
        return first
    # The run is committed: what was not taken is counted there, and of what was taken there is no count any more.
    return (
        f"CASE WHEN NOT retried THEN {first} WHEN status = 'succeeded' THEN NULL\n"
        "            WHEN failed_hash = row_hash AND failed_op = kind THEN state_tries ELSE 0 END"
    )


def _statuses(rows: Rows) -> str:
    untouched = " OR ".join(f"plan.bucket BETWEEN {first} AND {last}" for first, last in rows.untouched) or "FALSE"
    status, words, joins = "'succeeded'", "CAST(NULL AS STRING) AS code, CAST(NULL AS STRING) AS message", ""
    if rows.unacknowledged is not None:
        status, words = "IFNULL(unacknowledged.status, 'succeeded')", "unacknowledged.code, unacknowledged.message"
        joins += f"LEFT JOIN {quoted(*rows.unacknowledged)} AS unacknowledged ON plan.row_key = unacknowledged.key\n"
    known = ""
    if rows.state is not None:
        known = ", plan.retried, plan.row_hash, state.failed_hash, state.failed_op, state.tries AS state_tries"
        joins += f"LEFT JOIN {quoted(*rows.state)} AS state ON plan.row_key = state.key\n"
    return (
        f"SELECT plan.row_key, plan.kind, plan.since, IF({untouched}, 'unsent', {status}) AS status, {words}{known}\n"
        f"FROM {quoted(*rows.plan)} AS plan\n{joins}"
        "WHERE plan.deliver"
    )


def snapshot(project: str, dataset: str) -> str:
    """Of a view: how each row of each sync stands, by the states of all syncs, also of those that come later."""
    return (
        "SELECT state.sync_id, state.row_key,\n"
        "       CASE WHEN state.failed_hash IS NULL THEN 'succeeded'\n"
        "            WHEN state.dropped_hash IS NOT NULL THEN 'dropped'\n"
        "            ELSE IFNULL(changes.status, 'retry') END AS status,\n"
        "       state.failed_op AS op, state.failed_code AS failure_code, changes.failure_reason, state.tries,\n"
        "       state.run_number, state.changed_at\n"
        "FROM (SELECT _TABLE_SUFFIX AS sync_id, key AS row_key, failed_hash, failed_op, failed_code, dropped_hash,\n"
        f"             tries, run AS run_number, changed_at FROM {quoted(project, dataset, 'state_*')}) AS state\n"
        "LEFT JOIN (SELECT sync_id, run_number, row_key, status, failure_reason\n"
        f"           FROM {quoted(project, dataset, 'sync_changelog')}\n"
        "           WHERE status IN ('rejected', 'retry')) AS changes\n"
        "ON state.failed_hash IS NOT NULL AND changes.sync_id = state.sync_id\n"
        "   AND changes.run_number = state.run_number AND changes.row_key = state.row_key"
    )
