"""Each statement by which a run is written down is one that Google's analyzer takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest
from tests.zetasql_check import analyze

from tidemill.bigquery import state_sql, written_sql
from tidemill.bigquery.written_sql import Rows
from tidemill.models.model import Column

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
PLAN = {"bucket": "INT64", "kind": "STRING", "deliver": "BOOL", "retried": "BOOL", "row_key": "STRING"}
PLAN |= {"row_hash": "STRING", "since": "INT64"}


def types(columns: Sequence[Column]) -> dict[str, str]:
    return {column.name: column.type.value for column in columns}


TABLES = {
    "p.d.plan": PLAN,
    "p.d.state": types(state_sql.STATE),
    "p.d.left": types(state_sql.UNACKNOWLEDGED),
    "p.d.state_*": {**types(state_sql.STATE), "_TABLE_SUFFIX": "STRING"},
    "p.d.sync_runs": types(written_sql.RUNS),
    "p.d.sync_changelog": types(written_sql.CHANGELOG),
}
SUBJECTS: list[dict[str, Any]] = [
    {"unacknowledged": None, "state": None, "untouched": []},
    {"unacknowledged": ("p", "d", "left"), "state": None, "untouched": [(0, 9), (12, 65_535)]},
    {"unacknowledged": ("p", "d", "left"), "state": ("p", "d", "state"), "untouched": []},
    {"unacknowledged": None, "state": ("p", "d", "state"), "untouched": [(7, 7)]},
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_rows_are_written_by_one_statement(subject: dict[str, Any]) -> None:
    rows = Rows(sync_id="5e", run_number=7, plan=("p", "d", "plan"), at=NOW, **subject)
    analyze(written_sql.insert_rows(("p", "d", "sync_changelog"), rows), TABLES)


def test_a_run_is_written_by_one_statement() -> None:
    values: dict[str, Any] = {"STRING": 'it\'s "said"\\\n', "INT64": 3, "TIMESTAMP": NOW}
    row = {column.name: values[column.type.value] for column in written_sql.RUNS}
    analyze(written_sql.insert_run(("p", "d", "sync_runs"), {**row, "error_code": None}), TABLES)


def test_the_view_has_the_columns_that_are_documented() -> None:
    found = analyze(written_sql.snapshot("p", "d"), TABLES)
    names = [column.name for column in found.output_column_list]
    assert names == [column.name for column in written_sql.SNAPSHOT]


@pytest.mark.parametrize("columns", [written_sql.RUNS, written_sql.CHANGELOG, written_sql.SNAPSHOT])
def test_columns_can_be_named_without_quotes(columns: Sequence[Column]) -> None:
    names = ", ".join(column.name for column in columns)
    analyze(f"SELECT {names} FROM `p.d.t`", {"p.d.t": types(columns)})
