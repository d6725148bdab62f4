"""Statements that somebody runs in the embedded BigQuery by the command line."""

from __future__ import annotations

import json

import pytest
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, rows
from typer.testing import CliRunner, Result

from tidemill.cli import local
from tidemill.errors import ConfigError, NotFoundError


@pytest.fixture(autouse=True)
def embedded(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_local", lambda: warehouse.local)


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(local.app, ["query", *words], input=stdin)


def test_a_table_is_made_filled_and_read(client: bigquery.Client, warehouse: Warehouse) -> None:
    table = warehouse.name("people")
    assert run(f"CREATE TABLE `{table}` AS SELECT 1234567 AS id, DATE '2026-01-02' AS day, NULL AS note").stdout == ""
    assert run("-", stdin=f"INSERT INTO `{table}` VALUES (2, NULL, NULL)").exit_code == 0
    assert len(rows(client, table)) == 2
    asked = f"SELECT id, day, [NUMERIC '1.5'] AS amounts FROM `{table}` ORDER BY id DESC LIMIT 1"
    (found,) = json.loads(run(asked, "--json").stdout)
    assert (found["id"], found["day"]) == (1234567, "2026-01-02")
    assert "1234567" in run(asked).stdout


def test_what_is_wrong_with_a_statement_is_told_as_bigquery_would(warehouse: Warehouse) -> None:
    found = run("SELECT 1,\n  emial FROM UNNEST([1]) AS x").exception
    assert isinstance(found, ConfigError)
    assert found.message.endswith("Unrecognized name: emial at [2:3]")
    missing = run(f"SELECT 1 FROM `{warehouse.name('nothing')}`").exception
    assert isinstance(missing, NotFoundError)
    assert missing.code == "table_not_found"
