"""Refused rows as files: what is mended in a spreadsheet comes back as what its columns are."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from tidemill.errors import ConfigError
from tidemill.imports import repair_files
from tidemill.reverse_etl.model_check import Column
from tidemill.store.records_sync import Reject

_COLUMNS = (
    Column("id", "INT64", "NULLABLE", key=True),
    Column("plan", "STRING", "NULLABLE", key=False),
    Column("paid", "BOOL", "NULLABLE", key=False),
    Column("items", "STRING", "REPEATED", key=False),
)
_ROW = {"id": 1, "plan": "007, a\n=1+1", "paid": True, "items": ["a", "b"]}


def refused(key: str, row: dict[str, Any] | None) -> Reject:
    now = dt.datetime.now(dt.UTC)
    return Reject(1, uuid.uuid4(), key, "added", "rejected", "property_type", "It is no number.", row, 1, 1, 1, now)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_rows_come_back_as_they_were(kind: str) -> None:
    found = [refused("1", _ROW), refused("2", {"id": 2, "plan": None, "paid": False, "items": []})]
    text = repair_files.as_lines(found) if kind == "jsonl" else repair_files.as_csv(found, _COLUMNS)
    assert repair_files.rows("\ufeff" + text, _COLUMNS) == [{"key": one.key, "row": one.row} for one in found]


def test_what_does_not_fit_its_column_stays_a_text_of_which_the_import_tells() -> None:
    text = "$key,$code,$message,id,paid\r\n7,,,five,TRUE\r\n8,,,true,maybe\r\n"
    assert repair_files.rows(text, _COLUMNS) == [
        {"key": "7", "row": {"id": "five", "paid": True}},
        {"key": "8", "row": {"id": "true", "paid": "maybe"}},
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"key": "1", "row": {}}\n{"key": "2"}\n', 2),
        ('{"key": "1", "row": 5}\n', 1),
        ("id,plan\n1,a\n", 1),
        ("$key,id\n1,2,3\n", 2),
    ],
)
def test_a_file_that_is_none_says_where(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"Line {line}:"):
        repair_files.rows(text, _COLUMNS)
