"""Rows of a test upload: the same value has one text however it was written, and what differs is found."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pytest

from tidemill.exports.trial import texts
from tidemill.exports.trial.compare import compare
from tidemill.models.model import Column
from tidemill.models.types import Type

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        (Type.STRING, '"ä\\n"', "ä\n"),
        (Type.INT64, "9007199254740993", 9007199254740993),
        (Type.FLOAT64, "1e3", 1000.0),
        (Type.FLOAT64, '"NaN"', float("nan")),
        (Type.FLOAT64, '"-Infinity"', float("-inf")),
        (Type.NUMERIC, '"1.500000000"', decimal.Decimal("1.5")),
        (Type.BIGNUMERIC, f'"{"9" * 38}.{"1" * 38}"', decimal.Decimal(f"{'9' * 38}.{'1' * 38}")),
        (Type.BOOL, "true", True),
        (Type.TIMESTAMP, '"2026-01-01T12:00:00.000000Z"', NOON),
        (Type.TIMESTAMP, '"2026-01-01T12:00:00.000000Z"', NOON.astimezone(dt.timezone(dt.timedelta(hours=3)))),
        (Type.DATE, '"2026-01-01"', dt.date(2026, 1, 1)),
        (Type.DATETIME, '"2026-01-01 12:00:00"', dt.datetime(2026, 1, 1, 12)),  # noqa: DTZ001 - BigQuery's DATETIME
        (Type.JSON, '{"b": 1.0, "a": [null, "x"]}', {"a": [None, "x"], "b": 1}),
        (Type.JSON, '{"a": 1, "a": 2}', {"a": 1}),
        (Type.STRING, "null", None),
    ],
)
def test_what_is_written_and_what_is_read_have_the_same_text(kind: Type, written: str, read: Any) -> None:
    column = Column("value", kind, "")
    assert texts.of_line(f'{{"value": {written}}}', [column]) == texts.of_row([read], [column])


def test_an_empty_list_and_none_are_the_same_in_a_repeated_column() -> None:
    column = Column("urls", Type.STRING, "", repeated=True)
    assert texts.of_line("{}", [column]) == texts.of_row([[]], [column]) != texts.of_row([["x"]], [column])


COLUMNS = (Column("id", Type.STRING, ""), Column("name", Type.STRING, ""))


def test_rows_in_another_order_are_the_same() -> None:
    sent = [("1", "a"), ("2", None), ("1", "a")]
    assert compare(sent, [sent[1], sent[0], sent[2]], COLUMNS, ["id"]).different == 0


def test_what_came_back_otherwise_is_named_by_its_column() -> None:
    found = compare([("1", "a"), ("2", "b")], [("2", "B"), ("1", "a")], COLUMNS, ["id"])
    assert (found.rows, found.different) == (2, 1)
    assert found.said == "The column name: sent was b, and B came back."


def test_rows_that_did_not_come_back_are_counted() -> None:
    found = compare([("1", "a"), ("2", "b"), ("2", "b")], [("2", "b")], COLUMNS, [])
    assert (found.rows, found.different) == (1, 2)
    assert found.said == "3 rows were sent, and 1 came back."


def test_without_a_key_it_is_only_said_that_rows_are_others() -> None:
    assert compare([("1", "a"), ("2", "b")], [("1", "x"), ("2", "y")], COLUMNS, []).different == 2
