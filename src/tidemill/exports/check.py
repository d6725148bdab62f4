"""Holds an export's table against the event store: are all events there, each once?"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.store.records import Export


@dataclasses.dataclass(frozen=True)
class Checked:
    """What BigQuery answered. `expected`: events that the export has acknowledged."""

    table: str
    columns: tuple[tuple[str, str], ...]
    expected: int
    rows: int
    missing: int
    duplicated: int
    example_sql: str
    example_columns: tuple[str, ...]
    example_rows: list[tuple[Any, ...]]


def check(client: Client, export: Export, expected: int, key: tuple[str, ...], max_bytes_billed: int | None) -> Checked:
    """Count rows and keys in BigQuery, and run an example query."""
    place = (export.project, export.dataset, export.table_id)
    client.locate(export.dataset)
    table = client.get_table(export.dataset, export.table_id)
    counted = _query(client, export, sql.count(place, key), max_bytes_billed)
    rows, keys = (int(value) for value in counted.rows[0])
    example = sql.top_events(place, 5)
    answer = _query(client, export, example, max_bytes_billed)
    return Checked(
        table=".".join(place),
        columns=tuple((field.name, field.type) for field in table.fields) if table else (),
        expected=expected,
        rows=rows,
        missing=max(0, expected - keys),
        duplicated=rows - keys,
        example_sql=example,
        example_columns=answer.columns,
        example_rows=answer.rows,
    )


def _query(client: Client, export: Export, text: str, max_bytes_billed: int | None) -> Any:
    return client.query(
        text,
        job_id=f"tidemill_check_{secrets.token_hex(12)}",
        permission="bigquery.tables.getData",
        dataset=export.dataset,
        table=export.table_id,
        max_bytes_billed=max_bytes_billed,
    )
