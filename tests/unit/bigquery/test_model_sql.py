"""Every statement about source models: what Google's analyzer says of it, for models that are awkward."""

from __future__ import annotations

import inspect

import pytest
from tests.zetasql_check import analyze

from tidemill.bigquery import model_sql

TABLE = ("project-123", "my-dataset", "people")
NAME = ".".join(TABLE)
#: Columns that are called as what our statements call their own.
COLUMNS = {
    "id": "INT64",
    "key_0": "STRING",
    "key_1": "BYTES",
    "row_count": "INT64",
    "tidemill": "DATE",
    "model": "STRING",
    "examples": "TIMESTAMP",
}
MODELS = [
    f"SELECT * FROM `{NAME}`\n",
    f"WITH keys AS (SELECT * FROM `{NAME}`) SELECT * FROM keys -- a comment at its end\n",
    f"(SELECT * FROM `{NAME}` ORDER BY id LIMIT 5)\n",
    f"SELECT * FROM `{NAME}` UNION ALL SELECT * FROM `{NAME}`\n",
]
KEYS = [["id"], ["key_1", "key_0"], ["row_count", "model"], ["examples"], ["tidemill"]]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("key", KEYS, ids=" ".join)
def test_google_understands_how_keys_are_checked(model: str, key: list[str]) -> None:
    assert analyze(model_sql.check_keys(model, key), {NAME: COLUMNS})


@pytest.mark.parametrize("model", MODELS)
def test_google_understands_how_rows_are_shown(model: str) -> None:
    assert analyze(model_sql.first_rows(model, 10), {NAME: COLUMNS})


@pytest.mark.parametrize(
    "statement",
    [model_sql.read_nothing(TABLE), model_sql.change_row(("project-123", "my-dataset", "scratch"), 'a"\\', "b")],
)
def test_google_understands_the_statements_of_the_test(statement: str) -> None:
    assert analyze(statement, {NAME: COLUMNS, "project-123.my-dataset.scratch": {"event": "STRING"}})


def test_no_statement_is_left_out() -> None:
    public = {
        name
        for name, function in inspect.getmembers(model_sql, inspect.isfunction)
        if function.__module__ == model_sql.__name__
    }
    assert public == {"check_keys", "first_rows", "read_nothing", "change_row"}
