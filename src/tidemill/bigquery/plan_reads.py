"""SQL that reads a plan: what it has in all, its pieces, their rows, and rows that cannot be delivered."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.bigquery import plan_orders
from tidemill.bigquery.names import quoted
from tidemill.bigquery.plan_sql import COUNTED, DROPPED, DUPLICATE, INVALID, UNCHANGED, Dialect, Plan, texts
from tidemill.bigquery.sql import Place
from tidemill.bigquery.tables import Field

#: Rows by which one knows how far a cursor is.
GOOD = ("added", "updated", UNCHANGED, DROPPED)
#: Of the rows of an overview that are pieces.
PIECE = "piece"


def overview(plan: Plan, made: str, rows: int, size: int, dialect: Dialect) -> str:
    """Of each kind: how many rows there are, how many of the state were met, how many were tried before; how far the
    cursor is. And pieces: ranges of buckets that hold about so many rows, or rows of so many bytes (`size`) if these
    are fewer. `made`: what has the rows of the plan."""
    met = f"IF(known, IF(kind IN ({texts(COUNTED)}), row_count, 1), 0)"
    upto = _upto(plan, dialect)
    piece = dialect.divided("passed", size)
    weight = f"GREATEST(row_bytes, {max(1, size // rows)})"
    buckets = (
        f"SELECT bucket, COUNT(*) AS bucket_rows, SUM({weight}) AS weight\n"
        f"            FROM {made} WHERE deliver GROUP BY bucket"
    )
    passed = f"SELECT bucket, bucket_rows, SUM(weight) OVER (ORDER BY bucket) AS passed\n      FROM ({buckets})"
    if plan.order is not None:
        passed = plan_orders.passed(buckets, dialect.divided)
    return (
        f"SELECT kind, SUM(row_count) AS row_count, SUM({met}) AS met, COUNTIF(deliver AND retried) AS retried,\n"
        f"       CAST({upto} AS STRING) AS upto, 0 AS first_bucket, 0 AS last_bucket\n"
        f"FROM {made} GROUP BY kind\n"
        "UNION ALL\n"
        f"SELECT '{PIECE}', SUM(bucket_rows), 0, 0, NULL, MIN(bucket), MAX(bucket)\n"
        f"FROM ({passed})\n"
        f"GROUP BY {piece}"
    )


def _upto(plan: Plan, dialect: Dialect) -> str:
    """How far the cursor is: at the greatest of rows that are good. Not beyond one whose key is of several: it would
    not be looked at again when it is the only one, for it is then as old as ever."""
    if plan.cursor is None:
        return "NULL"
    greatest = f"MAX(MAX(IF(kind IN ({texts(GOOD)}), cursor_value, NULL))) OVER ()"
    held = f"MIN(MIN(IF(kind = '{DUPLICATE}', cursor_value, NULL))) OVER ()"
    upto = f"IF({held} < {greatest}, {held}, {greatest})"
    if plan.position is None:
        return upto
    position = dialect.position(plan)  # what is tried again may be older
    return f"GREATEST(IFNULL({upto}, {position}), {position})"


#: What is read of each row of a piece, before its columns.
ROW = ("row_key", "row_hash", "kind", "since")


def within(first: int, last: int) -> str:
    """The condition that a row is to be delivered, and in these buckets."""
    return f"deliver = TRUE AND bucket >= {first} AND bucket <= {last}"


def rows(plan: Place, first: int, last: int, fields: Sequence[Field]) -> str:
    """The rows of a piece, for who may not read the table directly. JSON is text, as it is there."""
    return f"{_columns(fields)}\nFROM {quoted(*plan)} WHERE {within(first, last)}"


def samples(plan: Place, kind: str, limit: int, fields: Sequence[Field], order: str) -> str:
    """The first rows of a kind that are to be delivered, in an order."""
    which = f"deliver = TRUE AND kind = '{kind}'"
    return f"{_columns(fields)}\nFROM {quoted(*plan)} WHERE {which} ORDER BY {order} LIMIT {limit}"


def _columns(fields: Sequence[Field]) -> str:
    columns = "".join(f", {one} AS c{number}" for number, one in enumerate(texted(fields)))
    return f"SELECT {', '.join(ROW)}{columns}"


def looked_keys(looked: Place, limit: int) -> str:
    """Keys of the rows that are looked at."""
    return f"SELECT DISTINCT model_key AS row_key FROM {quoted(*looked)} WHERE model_key IS NOT NULL LIMIT {limit}"


def changed_keys(plan: Place, kinds: Sequence[str], limit: int) -> str:
    """Keys of the rows that a run may change in the state."""
    return f"SELECT row_key FROM {quoted(*plan)} WHERE kind IN ({texts(kinds)}) LIMIT {limit}"


#: Of rows that cannot be delivered, columns are read until there are so many bytes.
_INVALID_BYTES = 8_000_000


def invalid(made: str, limit: int, columns: Sequence[str]) -> str:
    """Some rows that cannot be delivered, and why; how many rows each stands for, and its columns, unless they are too
    large (`shown` is false then). `columns`: as they are read."""
    order = "kind DESC, row_key, row_hash"
    is_shown = f"row_bytes IS NOT NULL AND passed <= {_INVALID_BYTES}"
    shown = "".join(f", IF({is_shown}, {one}, NULL) AS c{number}" for number, one in enumerate(columns))
    return (
        f"SELECT row_key, kind, row_hash, row_count, {is_shown} AS shown{shown}\n"
        f"FROM (SELECT *, SUM(row_bytes) OVER (ORDER BY {order}) AS passed\n"
        f"      FROM (SELECT * FROM {made} WHERE kind IN ({texts(INVALID)}) ORDER BY {order} LIMIT {limit}))\n"
        f"ORDER BY {order}"
    )


def texted(fields: Sequence[Field]) -> list[str]:
    """Columns as they are read by a query: JSON is text."""
    return [
        f"TO_JSON_STRING(c{number})" if (field.type, field.mode) == ("JSON", "NULLABLE") else f"c{number}"
        for number, field in enumerate(fields)
    ]
