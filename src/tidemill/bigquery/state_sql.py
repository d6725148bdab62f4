"""SQL of the state of a sync: of each row that was delivered, which version the destination acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tidemill.bigquery.names import quoted
from tidemill.bigquery.plan_sql import FORGOTTEN, key_literal, literals
from tidemill.bigquery.sql import Place
from tidemill.models.model import Column
from tidemill.models.types import Type

#: `hash`: of the version that was acknowledged; NULL: none ever was. `failed_…`: of the last version that was not, and
#: how it was tried (`failed_op`); `failed_run`: the number of the run that tried it first.
STATE = (
    Column("key", Type.STRING, "Of the row: its column as text, or a JSON array of several."),
    Column("hash", Type.STRING, "Of the version that was acknowledged. NULL: none was."),
    Column("failed_hash", Type.STRING, "Of the last version that was not acknowledged."),
    Column("failed_key", Type.STRING, "The key, if there is such a version: what others cost nothing to read."),
    Column("failed_op", Type.STRING, "What was tried with it: added, updated, deleted."),
    Column("failed_code", Type.STRING, "What the destination said."),
    Column("failed_run", Type.INT64, "Number of the run that tried that version first."),
    Column("tries", Type.INT64, "How often that version was tried."),
    Column("unsure", Type.BOOL, "Whether some version that was not acknowledged may be there."),
    Column("dropped_hash", Type.STRING, "Of a version that was given up."),
    Column("run", Type.INT64, "Number of the run that changed this row last."),
    Column("changed_at", Type.TIMESTAMP, "When."),
)
#: What was not acknowledged of a run.
UNACKNOWLEDGED = (
    Column("key", Type.STRING, "Of the row."),
    Column("status", Type.STRING, "rejected, retry, or unsent."),
    Column("code", Type.STRING, "What the destination said."),
    Column("unsure", Type.BOOL, "Whether it may be there all the same."),
    Column("message", Type.STRING, "What the destination said, in words."),
)
#: Rows that are not in the model any more; and all that change the state.
GONE = ("deleted", FORGOTTEN)
CHANGES = ("added", "updated", *GONE)
#: Nothing is left of what was not acknowledged.
_ACKNOWLEDGED = (
    "failed_hash = NULL, failed_key = NULL, failed_op = NULL, failed_code = NULL, failed_run = NULL, tries = 0,\n"
    "  unsure = FALSE"
)


def commit(
    plan: Place,
    state: Place,
    given: Place | None,
    ranges: Sequence[tuple[int, int]],
    number: int,
    keys: Collection[str] | None = None,
) -> str:
    """Remember what was acknowledged: of these buckets what was to be delivered, but for the rows of `given`; and all
    that was to be noted alone. A row that was not sent stays as it was. `keys`: of all these rows, if they are few:
    then no more of the state is read than has them."""
    gone = _kinds(GONE)
    noted = f"dropped_hash = NULL, run = {number}, changed_at = CURRENT_TIMESTAMP()"
    among = "" if keys is None else f" AND state.key IN ({literals(keys)})"
    again = "state.failed_hash = change.row_hash AND state.failed_op = change.kind"
    return (
        f"MERGE {quoted(*state)} AS state\n"
        f"USING ({changes(quoted(*plan), None if given is None else quoted(*given), ranges)}) AS change\n"
        f"ON state.key = change.row_key{among}\n"
        f"WHEN MATCHED AND NOT change.failed AND change.kind IN ({gone}) THEN DELETE\n"
        f"WHEN MATCHED AND NOT change.failed THEN UPDATE SET `hash` = change.row_hash, {_ACKNOWLEDGED}, {noted}\n"
        "WHEN MATCHED THEN UPDATE SET failed_hash = change.row_hash, failed_key = change.row_key,\n"
        "  failed_op = change.kind, failed_code = change.code, failed_run = change.since,\n"
        f"  tries = IF({again}, state.tries + 1, 1), unsure = (state.unsure OR change.unsure), {noted}\n"
        f"WHEN NOT MATCHED AND change.kind NOT IN ({gone}) THEN\n"
        "  INSERT (key, `hash`, failed_hash, failed_key, failed_op, failed_code, failed_run, tries, unsure, run,\n"
        "    changed_at)\n"
        "  VALUES (change.row_key, IF(change.failed, NULL, change.row_hash),\n"
        "    IF(change.failed, change.row_hash, NULL), IF(change.failed, change.row_key, NULL),\n"
        "    IF(change.failed, change.kind, NULL), change.code,\n"
        "    IF(change.failed, change.since, NULL), IF(change.failed, 1, 0), change.unsure,\n"
        f"    {number}, CURRENT_TIMESTAMP())"
    )


def changes(plan: str, given: str | None, ranges: Sequence[tuple[int, int]]) -> str:
    """What is remembered of which rows. `plan`, `given`: what has the rows."""
    inside = " OR ".join(f"plan.bucket BETWEEN {first} AND {last}" for first, last in ranges) or "FALSE"
    sent = f"(plan.deliver AND ({inside}))"
    noted = f"(NOT plan.deliver AND plan.kind IN ({_kinds(CHANGES)}))"
    if given is None:
        what = "FALSE AS failed, CAST(NULL AS STRING) AS code, FALSE AS unsure"
        rest = f"WHERE {sent} OR {noted}"
    else:
        what = (
            "unacknowledged.key IS NOT NULL AS failed, unacknowledged.code,\n"
            "       IFNULL(unacknowledged.unsure, FALSE) AS unsure"
        )
        rest = (
            f"LEFT JOIN {given} AS unacknowledged ON plan.row_key = unacknowledged.key\n"
            f"WHERE (unacknowledged.status IS NULL OR unacknowledged.status != 'unsent') AND ({sent} OR {noted})"
        )
    return f"SELECT plan.row_key, plan.row_hash, plan.kind, plan.since, {what}\nFROM {plan} AS plan\n{rest}"


def resend(state: Place) -> str:
    """No version of a row is the one that was acknowledged; the rows stay known."""
    return f"UPDATE {quoted(*state)} SET `hash` = IF(`hash` IS NULL, NULL, ''), dropped_hash = NULL WHERE TRUE"


def drop(state: Place, keys: Sequence[str]) -> str:
    """Give up rows as they were when they were not taken."""
    return (
        f"UPDATE {quoted(*state)} SET dropped_hash = failed_hash\n"
        f"WHERE key IN ({_texts(keys)}) AND failed_hash IS NOT NULL AND dropped_hash IS NULL"
    )


def adopt(state: Place, keys: Sequence[str]) -> str:
    """Rows count as delivered as they were when they were not taken; those that are gone stay as they are."""
    return (
        f"UPDATE {quoted(*state)} SET `hash` = failed_hash, {_ACKNOWLEDGED}, dropped_hash = NULL,\n"
        "  changed_at = CURRENT_TIMESTAMP()\n"
        f"WHERE key IN ({_texts(keys)}) AND failed_hash IS NOT NULL AND failed_op != 'deleted'"
    )


def _kinds(values: Collection[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _texts(values: Collection[str]) -> str:
    return ", ".join(key_literal(value) for value in values)
