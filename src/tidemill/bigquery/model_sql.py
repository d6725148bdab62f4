"""SQL about source models, and about the table by which a source is tested: pure functions of names and values.

The statement of a model ends with the end of a line, so that a comment at its end does not take what comes behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.bigquery.names import quoted
from tidemill.bigquery.sql import Place, literal

#: Keys that are shown of those that occur twice.
EXAMPLES = 5


def first_rows(sql: str, limit: int) -> str:
    """Some rows of a model, each as a JSON object."""
    return f"SELECT TO_JSON_STRING(tidemill_model) AS json FROM (\n{sql}) AS tidemill_model LIMIT {limit}"


def check_keys(sql: str, key: Sequence[str]) -> str:
    """In one row: rows of a model; those whose key is NULL; keys that occur twice, their rows, and some of them.

    An example is a JSON object of the key's columns by their place, and `row_count`; or empty, where there are not so
    many. Columns are renamed, so that none of the model is taken for one of ours.
    """
    columns = [f"key_{number}" for number in range(len(key))]
    renamed = ", ".join(f"tidemill_model.`{name}` AS {column}" for name, column in zip(key, columns, strict=True))
    places = ", ".join(str(number + 1) for number in range(len(key)))
    null = " OR ".join(f"{column} IS NULL" for column in columns)
    twice = f"row_count > 1 AND NOT ({null})"
    named = ", ".join(f"{column} AS {column}" for column in (*columns, "row_count"))
    example = f"TO_JSON_STRING(STRUCT({named}))"
    return (
        "SELECT IFNULL(SUM(row_count), 0) AS row_count,\n"
        f"       IFNULL(SUM(IF({null}, row_count, 0)), 0) AS null_rows,\n"
        f"       COUNTIF({twice}) AS duplicate_keys,\n"
        f"       IFNULL(SUM(IF({twice}, row_count, 0)), 0) AS duplicate_rows,\n"
        f"       ARRAY_AGG(IF({twice}, {example}, '') ORDER BY IF({twice}, row_count, 0) DESC, {', '.join(columns)} "
        f"LIMIT {EXAMPLES}) AS examples\n"
        f"FROM (SELECT {renamed}, COUNT(*) AS row_count FROM (\n{sql}) AS tidemill_model GROUP BY {places})"
    )


def read_nothing(table: Place) -> str:
    """A statement that reads a table, but none of its columns."""
    return f"SELECT 1 FROM {quoted(*table)} LIMIT 1"


def change_row(table: Place, before: str, after: str) -> str:
    """A MERGE that changes the one row of the table by which a source is tested."""
    return (
        f"MERGE {quoted(*table)} AS state\n"
        f"USING (SELECT {literal(before)} AS event, {literal(after)} AS changed) AS plan\n"
        "ON state.event = plan.event\n"
        "WHEN MATCHED THEN UPDATE SET event = plan.changed\n"
        "WHEN NOT MATCHED THEN INSERT (event) VALUES (plan.changed)"
    )
