"""Holds an export's table against the event store, id by id: are all rows there, each once, and no others?

All ids of both are held in memory: meant for tables of up to some millions of rows.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.store.records import Export


@dataclasses.dataclass(frozen=True)
class Checked:
    """What BigQuery answered. `expected`: rows that the export has acknowledged, less those that were set aside;
    `missing` of them are not in the table. `duplicated`: rows more than keys; `foreign`: keys that are not expected.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    expected: int
    rows: int
    missing: int
    duplicated: int
    foreign: int


@dataclasses.dataclass(frozen=True)
class Example:
    """A query that shows what can be asked of the events, and its answer."""

    sql: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def check(
    client: Client, export: Export, expected: set[tuple[int, str]], key: tuple[str, ...], max_bytes_billed: int | None
) -> Checked:
    """Ask BigQuery for all keys."""
    place = (export.project, export.dataset, export.table_id)
    client.locate(export.dataset)
    table = client.get_table(export.dataset, export.table_id)
    counted = _query(client, export, sql.keys(place, key), max_bytes_billed)
    found = {(team_id, name) for team_id, name, _ in counted.rows}
    rows = sum(int(number) for *_, number in counted.rows)
    return Checked(
        table=".".join(place),
        columns=tuple((field.name, field.type) for field in table.fields) if table else (),
        expected=len(expected),
        rows=rows,
        missing=len(expected - found),
        duplicated=rows - len(found),
        foreign=len(found - expected),
    )


def example(client: Client, export: Export, max_bytes_billed: int | None) -> Example:
    """Ask for the most frequent events."""
    text = sql.top_events((export.project, export.dataset, export.table_id), 5)
    answer = _query(client, export, text, max_bytes_billed)
    return Example(text, answer.columns, answer.rows)


def _query(client: Client, export: Export, text: str, max_bytes_billed: int | None) -> Any:
    return client.query(
        text,
        job_id=f"tidemill_check_{secrets.token_hex(12)}",
        permission="bigquery.tables.getData",
        dataset=export.dataset,
        table=export.table_id,
        max_bytes_billed=max_bytes_billed,
    )
