"""What is wrong with a statement is told in one line, about the statement that was sent."""

from __future__ import annotations

import pytest

from tidemill.bigquery.local.wording import worded

BINDER = "Query execution failed: Binder Error: "
BEHIND = '\nCandidate bindings: "email"\n\nLINE 1: SELECT …\n        ^'


@pytest.mark.parametrize(
    ("said", "sql", "told"),
    [
        (
            f'{BINDER}Referenced column "emial" not found in FROM clause!{BEHIND}',
            "SELECT id, 'emial'\nFROM t\nWHERE  emial = 1",
            "Unrecognized name: emial at [3:8]",
        ),
        (
            f'{BINDER}Table "p" does not have a column named "emial"\n{BEHIND}',
            "SELECT emial.x,\n  p.emial FROM t AS p",
            "Name emial not found inside p at [2:5]",
        ),
        (f'{BINDER}Referenced table "x" not found!{BEHIND}', "SELECT x.id FROM t", "Unrecognized name: x at [1:8]"),
        (
            f'{BINDER}column "id" must appear in the GROUP BY clause or must be part of an aggregate function.{BEHIND}',
            "SELECT id, COUNT(*) FROM t",
            "SELECT list expression references column id which is neither grouped nor aggregated at [1:8]",
        ),
        ("Function not found: NOPE at [1:8]", "SELECT 1,\n  NOPE(2)", "Function not found: NOPE at [2:3]"),
        (
            'Syntax error: Unexpected identifier "SELEC" at [1:13]',
            "SELEC 1",
            'Syntax error: Unexpected identifier "SELEC" at [1:1]',
        ),
        (
            "Syntax error: Required keyword missing for <class 'x'>. Line 4, Col: 11.\n  (1 + \x1b[4mFROM\x1b[0m t",
            "\n\nSELECT\n  (1 + FROM t",
            'Syntax error: Unexpected "FROM" at [4:8]',
        ),
        (
            f"{BINDER}No function matches '+'.\n\tCandidate functions:\n\n\nLINE 1: x\n^",
            "x",
            f"{BINDER}No function matches '+'.",
        ),
        ("two\nlines", "x", "two\nlines"),
        (
            "Not found: Table p.d.t was not found in location US",
            "x",
            "Not found: Table p.d.t was not found in location EU",
        ),
        (f'{BINDER}Referenced column "made" not found in FROM clause!{BEHIND}', "SELECT 1", "Unrecognized name: made"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_as_bigquery_would(said: str, sql: str, told: str) -> None:
    assert worded(said, sql, "EU") == told
