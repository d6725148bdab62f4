"""SQL of plans that are made here, in DuckDB: that of the warehouse, where it is the same, and of a state in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.bigquery import plan_sql, state_sql
from tidemill.events.duck import literal

#: A cursor's position is text, as BigQuery casts it. It is compared as what the rows have. A BIGNUMERIC, which is text
#: in a file, is rounded: what is greater is not less then, and rows of the same number are all looked at again.
_TYPES = {
    "NUMERIC": "DECIMAL(38, 9)",
    "BIGNUMERIC": "DOUBLE",
    "FLOAT64": "DOUBLE",
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMPTZ",
}


def _struct(names: Sequence[str]) -> str:
    fields = ", ".join(f"'{name}': {name}" for name in names)
    return f"{{{fields}}}"


def _literal(text: str) -> str:
    """A text; no statement may hold U+0000."""
    parts = (literal(part) for part in text.split("\0"))
    return f"({' || chr(0) || '.join(parts)})"


DUCKDB = plan_sql.Dialect(
    bucket=lambda key: f"CAST('0x' || substr(md5({key}), 1, 5) AS BIGINT)",
    divided=lambda number, by: f"{number} // {by}",
    literal=_literal,
    size=lambda name, _: f"strlen(CAST({name} AS VARCHAR))",
    struct=_struct,
    types=_TYPES,
)
_KINDS = {"STRING": "VARCHAR", "INT64": "BIGINT", "BOOL": "BOOLEAN", "TIMESTAMP": "TIMESTAMPTZ"}


#: Columns of a row that was not taken, and counts as delivered as it was then. See state_sql.adopt.
ADOPTED = {
    "hash": "failed_hash",
    **dict.fromkeys(("failed_hash", "failed_key", "failed_op", "failed_code", "failed_run", "dropped_hash"), "NULL"),
    "tries": "0",
    "unsure": "FALSE",
    "changed_at": "now()",
}


def model(path: Path, plan: plan_sql.Plan) -> str:
    """The model's rows, from the file that they were brought in."""
    cast = f"* REPLACE (CAST(cursor_value AS {_TYPES['BIGNUMERIC']}) AS cursor_value)"
    is_text = plan.cursor is not None and plan.cursor.type == "BIGNUMERIC"
    return f"SELECT {cast if is_text else '*'} FROM read_parquet({literal(str(path))})"


def create_state() -> str:
    """An empty state."""
    columns = ", ".join(f'"{column.name}" {_KINDS[column.type.value]}' for column in state_sql.STATE)
    return f"CREATE TABLE state ({columns})"


def commit(given: str | None, ranges: Sequence[tuple[int, int]], number: int) -> str:
    """The state after a run: what the MERGE of the warehouse makes of it. See state_sql.commit."""
    gone = ", ".join(f"'{kind}'" for kind in state_sql.GONE)
    new = "change.row_key IS NOT NULL"
    taken, failed = f"{new} AND NOT change.failed", f"{new} AND change.failed"
    again = "state.failed_hash = change.row_hash AND state.failed_op = change.kind"

    def after(taken_value: str, failed_value: str, name: str) -> str:
        cases = f"WHEN {taken} THEN {taken_value} WHEN {failed} THEN {failed_value}"
        return f'CASE {cases} ELSE state."{name}" END AS "{name}"'

    columns = ",\n".join(
        [
            'COALESCE(state.key, change.row_key) AS "key"',
            after("change.row_hash", "state.hash", "hash"),
            after("NULL", "change.row_hash", "failed_hash"),
            after("NULL", "change.row_key", "failed_key"),
            after("NULL", "change.kind", "failed_op"),
            after("NULL", "change.code", "failed_code"),
            after("NULL", "change.since", "failed_run"),
            after("0", f"IF({again}, state.tries + 1, 1)", "tries"),
            after("FALSE", "(COALESCE(state.unsure, FALSE) OR change.unsure)", "unsure"),
            after("NULL", "NULL", "dropped_hash"),
            after(str(number), str(number), "run"),
            after("now()", "now()", "changed_at"),
        ]
    )
    changes = state_sql.changes("plan", given, ranges)
    return (
        f"SELECT {columns}\n"
        f"FROM state FULL OUTER JOIN ({changes}) AS change ON state.key = change.row_key\n"
        f"WHERE NOT COALESCE({new} AND (NOT change.failed OR state.key IS NULL) AND change.kind IN ({gone}), FALSE)"
    )
