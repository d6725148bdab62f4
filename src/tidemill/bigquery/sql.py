"""Every SQL text that we emit: pure functions of names and values, each identifier quoted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from tidemill.bigquery.names import quoted


def insert_missing(
    final: tuple[str, str, str],
    stage: tuple[str, str, str],
    columns: Sequence[str],
    key: Sequence[str],
    partition: tuple[str, dt.datetime, dt.datetime] | None,
) -> str:
    """Add the rows of `stage` whose key is not in `final`: running it twice adds nothing.

    Tables are (project, dataset, table). `partition`: the column that `final` is partitioned by, and the first and
    last value in `stage`: named in the ON clause, so that only those partitions are read.
    """
    names = ", ".join(f"`{name}`" for name in columns)
    values = ", ".join(f"stage.`{name}`" for name in columns)
    conditions = [f"final.`{name}` = stage.`{name}`" for name in key]
    if partition:
        column, first, last = partition
        conditions.append(f"final.`{column}` BETWEEN {moment(first)} AND {moment(last)}")
    keys = ", ".join(f"`{name}`" for name in key)
    return (
        f"MERGE {quoted(*final)} AS final\n"
        f"USING (SELECT {names} FROM {quoted(*stage)} WHERE TRUE "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {keys}) = 1) AS stage\n"
        f"ON {' AND '.join(conditions)}\n"
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def moment(value: dt.datetime) -> str:
    """A TIMESTAMP literal in UTC."""
    return f"TIMESTAMP '{value.astimezone(dt.UTC).strftime('%Y-%m-%d %H:%M:%S.%f').rjust(26, '0')}+00:00'"


def count(table: tuple[str, str, str], key: Sequence[str]) -> str:
    """Rows, and distinct keys, of a table."""
    keys = ", ':', ".join(f"CAST(`{name}` AS STRING)" for name in key)
    return f"SELECT COUNT(*) AS row_count, COUNT(DISTINCT CONCAT({keys})) AS key_count FROM {quoted(*table)}"


def top_events(table: tuple[str, str, str], limit: int) -> str:
    """An example: the most frequent events, with how many people sent them."""
    return (
        "SELECT event, COUNT(*) AS events, COUNT(DISTINCT distinct_id) AS people,\n"
        "       MIN(timestamp) AS first_seen, MAX(timestamp) AS last_seen\n"
        f"FROM {quoted(*table)}\n"
        f"GROUP BY event ORDER BY events DESC, event LIMIT {limit}"
    )
