"""Columns without a name are called as BigQuery calls them."""

from __future__ import annotations

import pytest

from tidemill.bigquery.local import nameless


@pytest.mark.parametrize(
    ("sql", "given", "expected"),
    [
        ("SELECT COUNT(*), id, 1, t.a FROM t", "count_star() id 1 a", "f0_ id f1_ a"),
        ("SELECT *, COUNT(*) OVER () FROM t", "id n count", "id n f0_"),
        ("SELECT LOWER(a), t.*, UPPER(a) AS up, -a FROM t", "x id n up y", "f0_ id n up f1_"),
        ("WITH q AS (SELECT 1) SELECT n FROM q", "n", "n"),
        ("SELECT a.b[0], (SELECT 1 AS one) FROM t UNION ALL SELECT 1, 2", "x y", "f0_ f1_"),
        ("SELECT id FROM t; SELECT", "id", "id"),
    ],
)
def test_the_names(sql: str, given: str, expected: str) -> None:
    fields = [{"name": name} for name in given.split()]
    nameless.rename(sql, fields)
    assert " ".join(field["name"] for field in fields) == expected
