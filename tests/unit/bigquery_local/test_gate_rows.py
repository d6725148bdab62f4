"""Rows of insertAll: which are entered, and which have an error."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from tidemill.bigquery.local import rows
from tidemill.bigquery.local.answers import Refusal

FIELDS: list[dict[str, Any]] = [{"name": "a", "type": "INT64", "mode": "REQUIRED"}, {"name": "j", "type": "JSON"}]


def body(*given: Any, **options: Any) -> dict[str, Any]:
    return {"rows": [{"insertId": "1", "json": row} for row in given], **options}


def test_good_rows_have_no_errors() -> None:
    good, errors = rows.check(body({"a": "1", "j": '{"x": 1}'}, {"a": 2, "j": {"y": 2}}), FIELDS)
    assert errors == []
    assert good == [{"a": 1, "j": '{"x":1}'}, {"a": 2, "j": '{"y":2}'}]


def test_a_bad_row_stops_the_others_unless_it_is_to_be_skipped() -> None:
    given = ({"a": 1}, {"a": 1.5}, {"j": "{"}, {"a": 1, "more": 1})
    good, errors = rows.check(body(*given), FIELDS)
    assert good == []
    assert [(error["errors"][0]["reason"], error["errors"][0]["location"]) for error in errors] == [
        ("stopped", ""),
        ("invalid", "a"),
        ("invalid", "j"),
        ("invalid", "more"),
    ]
    good, errors = rows.check(body(*given, skipInvalidRows=True, ignoreUnknownValues=True), FIELDS)
    assert good == [{"a": 1}, {"a": 1}]
    assert [error["index"] for error in errors] == [1, 2]


@pytest.mark.parametrize("wrong", [{}, {"rows": []}, {"rows": "no"}])
def test_a_request_without_rows_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="No rows"):
        rows.check(wrong, FIELDS)


def test_rows_are_entered_by_the_names_of_their_columns() -> None:
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE t (j JSON, "a" BIGINT)')
        rows.insert(connection, "t", [{"a": 1, "j": "{}"}, {"a": 2}], FIELDS)
        assert connection.execute("SELECT a, j FROM t ORDER BY a").fetchall() == [(1, "{}"), (2, None)]
