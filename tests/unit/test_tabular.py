"""Rows as lines of JSON, and as CSV that a spreadsheet takes for what it is."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from tidemill import tabular

ROWS: list[dict[str, Any]] = [
    {"a": 1, "b": {"x": "é"}, "c": None, "more": 1},
    {"a": "two\nlines", "b": [], "c": "=1+1"},
]


def test_json_lines_have_the_columns_as_they_are() -> None:
    lines = list(tabular.lines("json", ("a", "b", "c"), ROWS))
    assert [json.loads(line) for line in lines] == [
        {"a": 1, "b": {"x": "é"}, "c": None},
        {"a": "two\nlines", "b": [], "c": "=1+1"},
    ]
    assert all(line.count("\n") == 1 for line in lines)


def test_csv_has_a_header_and_json_in_cells() -> None:
    text = "".join(tabular.lines("csv", ("a", "b", "c"), ROWS))
    rows = list(csv.reader(text.splitlines(keepends=True)))
    assert rows == [["a", "b", "c"], ["1", '{"x": "é"}', ""], ["two\nlines", "[]", "'=1+1"]]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    (_, row) = csv.reader("".join(tabular.lines("csv", ("a",), [{"a": text}])).splitlines())
    assert row == [f"'{text}"]
