"""Whose rows an import takes: options that do not belong together are refused, and none is passed over."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tidemill.cli import imports_source
from tidemill.errors import ConfigError

NONE: dict[str, Any] = dict.fromkeys(
    ("connection", "sql", "sql_file", "table", "ga4", "since", "model", "max_bytes_billed")
)
NOTHING = {**NONE, "key": [], "no_intraday": False}


def of(**given: Any) -> Any:
    return imports_source.of({**NOTHING, **given})


def test_an_export_of_ga4_has_its_days_and_its_limit() -> None:
    assert of(ga4="analytics_1") == ({"max_bytes_billed": None}, ("analytics_1", None, True))
    limited = of(ga4="analytics_1", since="2026-01-31", max_bytes_billed="20GB", no_intraday=True)
    assert limited == ({"max_bytes_billed": 20 * 10**9}, ("analytics_1", dt.date(2026, 1, 31), False))


def test_a_table_has_its_key_and_its_limit() -> None:
    found = of(connection="warehouse", table="app.users", key=["id"], max_bytes_billed="1GB")
    assert found == ({"table": "app.users", "key": ("id",), "max_bytes_billed": 10**9}, None)


def test_a_model_has_all_that_is_needed() -> None:
    assert of(model="people") == ({}, None)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ga4": "analytics_1", "key": ["id"]}, "--key"),
        ({"ga4": "analytics_1", "sql": "SELECT 1 AS id"}, "--sql"),
        ({"ga4": "analytics_1", "sql_file": "rows.sql"}, "--sql-file"),
        ({"ga4": "analytics_1", "table": "app.users"}, "--table"),
        ({"model": "people", "ga4": "analytics_1"}, "--ga4"),
        ({"model": "people", "connection": "warehouse"}, "--connection"),
        ({"model": "people", "key": ["id"]}, "--key"),
        ({"model": "people", "sql": "SELECT 1 AS id"}, "--sql"),
        ({"model": "people", "table": "app.users"}, "--table"),
        ({"model": "people", "max_bytes_billed": "20GB"}, "--max-bytes-billed"),
        ({"model": "people", "since": "2026-01-31"}, "--since"),
        ({"table": "app.users", "key": ["id"], "since": "2026-01-31"}, "--since"),
        ({"table": "app.users", "key": ["id"], "no_intraday": True}, "--no-intraday"),
    ],
)
def test_what_does_not_belong_together_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of(**given)
    assert (caught.value.code, f"no {named}." in caught.value.message) == ("import_source", True)
