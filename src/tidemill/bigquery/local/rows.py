"""Rows that are streamed in (tabledata.insertAll): checked and entered as BigQuery does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from tidemill.bigquery.local import values
from tidemill.bigquery.local.answers import Refusal

_STOPPED = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}


def check(body: dict[str, Any], fields: Sequence[values.Field]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that are to be entered, and the `insertErrors`.

    With a bad row, and without `skipInvalidRows`, none is entered: the good ones are `stopped`.

    Raises
    ------
    Refusal
        400: the request has no rows, or what it has are none.
    """
    given = body.get("rows")
    if not isinstance(given, list) or not given:
        raise Refusal(400, "invalid", "No rows present in the request.")
    good: dict[int, dict[str, Any]] = {}
    bad: dict[int, dict[str, Any]] = {}
    ignore = bool(body.get("ignoreUnknownValues"))
    for index, row in enumerate(given):
        content = row.get("json") if isinstance(row, dict) else None
        try:
            good[index] = values.row(content or {}, fields, ignore_unknown=ignore, json_text=True)
        except values.BadValueError as error:
            bad[index] = {"reason": "invalid", "location": error.field, "debugInfo": "", "message": str(error)}
    if bad and not body.get("skipInvalidRows"):
        errors = [{"index": index, "errors": [bad.get(index, _STOPPED)]} for index in range(len(given))]
        return [], errors
    return list(good.values()), [{"index": index, "errors": [error]} for index, error in bad.items()]


def insert(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    rows: Sequence[dict[str, Any]],
    fields: Sequence[values.Field],
) -> None:
    """Enter checked rows into the DuckDB table of that quoted name."""
    columns = ", ".join('"' + str(field["name"]).replace('"', '""') + '"' for field in fields)
    cursor.register("tidemill_rows", values.table(rows, fields))
    try:
        cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM tidemill_rows")
    finally:
        cursor.unregister("tidemill_rows")
