"""A statement that is parsed again is what it was, whatever was done to it meanwhile; what is none stays none."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot
from sqlglot.dialects.dialect import Dialect

from tidemill.bigquery.local.parsing import Remembered

SQL = "SELECT a, COUNT(*) AS n FROM `p.d.t` WHERE b IN UNNEST(@k) GROUP BY a; /* why */ DROP TABLE x"
BIGQUERY, DUCKDB = Dialect.get_or_raise("bigquery"), Dialect.get_or_raise("duckdb")


@pytest.fixture
def parser() -> Any:
    class Counting:
        def __init__(self) -> None:
            self.count = 0
            self.remembered = Remembered(self._parse)

        def _parse(self, dialect: Dialect, sql: str, **options: Any) -> list[Any]:
            self.count += 1
            return dialect.parser(**options).parse(dialect.tokenize(sql), sql)

        def __call__(self, sql: str, dialect: Dialect = BIGQUERY, **options: Any) -> list[Any]:
            return self.remembered.parse(dialect, sql, **options)

    return Counting()


def written(found: list[Any]) -> list[str]:
    return [one.sql("bigquery") for one in found]


def test_it_is_parsed_once_and_each_has_one_of_their_own(parser: Any) -> None:
    plain = written([one for one in sqlglot.parse(SQL, dialect="bigquery") if one is not None])
    first = parser(SQL)
    for node in list(first[0].find_all(sqlglot.exp.Column)):
        node.replace(sqlglot.exp.column("changed"))
    first[1].set("exists", True)
    assert written(parser(SQL)) == plain
    assert parser.count == 1


def test_another_dialect_and_other_options_are_another_question(parser: Any) -> None:
    parser("SELECT 1")
    parser("SELECT 1", DUCKDB)
    parser("SELECT 1", error_level=sqlglot.ErrorLevel.IGNORE)
    assert parser.count == 3


def test_what_cannot_be_parsed_cannot_each_time(parser: Any) -> None:
    for _ in range(2):
        with pytest.raises(sqlglot.errors.ParseError):
            parser("SELECT FROM WHERE (")


def test_it_remembers_the_last_ones_alone(parser: Any) -> None:
    for number in range(100):
        parser(f"SELECT {number}")
    parser("SELECT 99")
    assert parser.count == 100
    parser("SELECT 1")
    assert parser.count == 101
