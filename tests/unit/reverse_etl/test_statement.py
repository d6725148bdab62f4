"""A model is one SELECT, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.reverse_etl import statement


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS n",
        "  select 1 as n ;  ",
        "SELECT 1 AS n; -- that is all",
        "SELECT 1 AS n;;\n/* the end; */ # yes",
        "WITH a AS (SELECT 1 AS n) SELECT * FROM a",
        "(SELECT 1 AS n)",
        "FROM d.t |> SELECT n",
        "SELECT ';' AS a, \";\" AS b, r'\\;' AS c, '''a;\nb''' AS d, `x;y` FROM t -- ;",
        "SELECT 'it\\'s; fine'",
        "-- first; a remark\nSELECT 1",
    ],
)
def test_one_select_is_taken_without_its_semicolon(sql: str) -> None:
    found = statement.one(sql)
    assert found.endswith("\n"), "a comment at its end ends"
    assert found.count("SELECT") + found.count("select") >= 1
    assert not found.rstrip().endswith(";") or "--" in found


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1; SELECT 2", "model_statements"),
        ("SELECT 1;\nDROP TABLE t", "model_statements"),
        ("SELECT 1; -- fine\n SELECT 2", "model_statements"),
        ("DELETE FROM t WHERE TRUE", "model_no_select"),
        ("CREATE TABLE t AS SELECT 1", "model_no_select"),
        ("DECLARE x INT64; SELECT x", "model_statements"),
        ("BEGIN SELECT 1", "model_no_select"),
        ("", "model_no_select"),
        ("-- nothing", "model_no_select"),
        ("SELECT 'open", "model_sql"),
        ("SELECT 1 /* open", "model_sql"),
        ("SELECT '''open ' '' ", "model_sql"),
    ],
)
def test_anything_else_is_refused(sql: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        statement.one(sql)
    assert caught.value.code == code


def test_the_second_statement_is_found_by_its_line() -> None:
    with pytest.raises(ConfigError, match="line 3"):
        statement.one("SELECT 1;\n\nSELECT 2")


@given(st.text(alphabet="SELECT '\"`;-/*#\\\nrb1"))
def test_nothing_but_our_error_is_raised(sql: str) -> None:
    try:
        statement.one(sql)
    except ConfigError:
        return


def test_a_table() -> None:
    assert statement.of_table("d.t", "p") == "SELECT * FROM `p.d.t`\n"
    assert statement.of_table("other-project.d.t", "p") == "SELECT * FROM `other-project.d.t`\n"
    with pytest.raises(ConfigError):
        statement.of_table("t", "p")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT shop.score(id) FROM t",
        "SELECT `my-project.shop.score`() AS score FROM t",
        "SELECT `my-project`.shop.score (id) FROM t",
        "SELECT my-project.shop.score(id) FROM t",
        "SELECT shop . /* why */ score -- so\n (id) FROM t",
        "SELECT SAFE.shop.score(id) FROM t",
        "SELECT * FROM shop.newest(3) AS n",
        "SELECT * FROM t WHERE id IN (SELECT id FROM `shop.newest`(3))",
    ],
)
def test_a_routine_is_seen(sql: str) -> None:
    assert statement.calls_routine(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, SUM(n) FROM shop.orders GROUP BY (id)",
        "SELECT a.id FROM shop.a JOIN shop.b USING (id) WHERE a.n IN (1, 2) AND (a.m + b.m) > 3",
        "SELECT NET.HOST(url), SAFE.SUBSTR(url, -1), HLL_COUNT.EXTRACT(n), `UPPER`(url) FROM `p.shop.urls`",
        "SELECT 'shop.score(1)' AS said, 1.5 * (n) FROM shop.orders -- shop.score(1)",
        "WITH few AS (SELECT 1 AS n) SELECT o.n FROM few AS o",
    ],
)
def test_functions_of_bigquery_itself_are_no_routines(sql: str) -> None:
    assert not statement.calls_routine(sql)
