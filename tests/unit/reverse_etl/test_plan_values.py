"""Values of BigQuery as JSON: the same from Arrow and from Google's client, and none that JSON cannot hold."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]

from tidemill.bigquery.tables import Field
from tidemill.reverse_etl.plan import values

UTC = dt.UTC


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("NUMERIC", Decimal("1.500000000"), 1.5),
        ("NUMERIC", Decimal("3.000000000"), 3),
        ("NUMERIC", Decimal("0.1"), 0.1),
        ("NUMERIC", Decimal("99999999999999999999999999999.999999999"), "99999999999999999999999999999.999999999"),
        ("NUMERIC", Decimal("99999999999999999999999999999"), "99999999999999999999999999999"),
        ("BIGNUMERIC", Decimal("1.23456789012345678901234567890"), "1.2345678901234567890123456789"),
        ("FLOAT64", float("nan"), None),
        ("FLOAT64", float("-inf"), None),
        ("FLOAT64", -0.0, -0.0),
        ("TIMESTAMP", dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05Z"),
        ("TIMESTAMP", dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "0001-01-01T00:00:00.000001Z"),
        ("DATETIME", dt.datetime(2024, 1, 2, 3, 4, 5, 60), "2024-01-02T03:04:05.000060"),  # noqa: DTZ001
        ("DATE", dt.date(9999, 12, 31), "9999-12-31"),
        ("TIME", dt.time(1, 2, 3), "01:02:03"),
        ("BYTES", b"\x00\xff", "AP8="),
        ("STRING", "é", "é"),
        ("BOOL", False, False),
        ("GEOGRAPHY", "POINT(1 2)", "POINT(1 2)"),
        ("RANGE", {"start": dt.date(2024, 1, 1), "end": None}, {"start": "2024-01-01", "end": None}),
        ("JSON", '{"a": [1, null, "x"]}', {"a": [1, None, "x"]}),
        ("JSON", "1e999", None),
    ],
)
def test_a_value(kind: str, value: Any, expected: Any) -> None:
    (made,) = values.of_column([value], Field("a", kind))
    assert made == expected
    assert type(made) is type(expected)
    json.dumps(made, allow_nan=False)


def test_null_is_null_and_lists_are_lists() -> None:
    assert values.of_column([None], Field("a", "TIMESTAMP")) == [None]
    assert values.of_column([[b"a"], []], Field("a", "BYTES", "REPEATED")) == [["YQ=="], []]


def test_a_struct_has_what_its_fields_are() -> None:
    inner = (Field("j", "JSON"), Field("n", "NUMERIC"), Field("l", "FLOAT64", "REPEATED"))
    field = Field("a", "STRUCT", fields=inner)
    value = {"j": '{"x": 1}', "n": Decimal("0.5"), "l": [float("nan"), 1.0]}
    assert values.of_column([value], field) == [{"j": {"x": 1}, "n": 0.5, "l": [None, 1.0]}]
    parsed: dict[str, Any] = {"j": {"x": 1}, "n": None, "l": []}
    assert values.of_column([parsed], field, parsed=True) == [parsed]


def test_an_interval_is_text_whichever_way_it_comes() -> None:
    arrow = pa.scalar((14, -3, -1_500_000_000), pa.month_day_nano_interval()).as_py()
    google = relativedelta(years=1, months=2, days=-3, seconds=-1, microseconds=-500_000)
    made = [values.of_column([value], Field("a", "INTERVAL"))[0] for value in (arrow, google)]
    assert made == ["1-2 -3 -0:0:1.5"] * 2


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("STRING", "5", "5"),
        ("INT64", "5", 5),
        ("BOOL", "true", True),
        ("NUMERIC", "1.250000000", 1.25),
        ("FLOAT64", "NaN", None),
        ("TIMESTAMP", "2024-01-02 03:04:05.5+00", "2024-01-02T03:04:05.500000Z"),
        ("TIMESTAMP", "2024-01-02 03:04:05+00:00", "2024-01-02T03:04:05Z"),
        ("DATETIME", "2024-01-02 03:04:05", "2024-01-02T03:04:05"),
        ("DATE", "2024-01-02", "2024-01-02"),
        ("TIME", "03:04:05.5", "03:04:05.500000"),
        ("BYTES", "AP8=", "AP8="),
        ("INT64", "it was a text then", "it was a text then"),
    ],
)
def test_a_deleted_row_has_the_columns_of_its_key(kind: str, text: str, expected: Any) -> None:
    assert values.of_keys(text, [Field("a", kind)]) == {"a": expected}


def test_a_key_of_several_columns() -> None:
    fields = [Field("a", "STRING"), Field("b", "INT64")]
    assert values.of_keys('["x,\\"y", "7"]', fields) == {"a": 'x,"y', "b": 7}


def _some_moments(draw: random.Random, *, whole: bool) -> list[dt.datetime | None]:
    found: list[dt.datetime | None] = []
    for _ in range(60):
        year, micros = draw.choice([1, 999, 1969, 1970, 2026, 9999]), draw.choice([0, 1, 100_000, 999_999])
        parts = (draw.randint(1, 12), draw.randint(1, 28), draw.randint(0, 23), draw.randint(0, 59))
        made = dt.datetime(year, *parts, draw.randint(0, 59), 0 if whole else micros)  # noqa: DTZ001 - some are without
        found.append(draw.choice([None, made, made]))
    return found


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("rows", [0, 60])
def test_columns_of_arrow_are_read_as_their_values_one_by_one(whole: bool, rows: int) -> None:
    moments = _some_moments(random.Random(7), whole=whole)[:rows]
    aware = [None if one is None else one.replace(tzinfo=dt.UTC) for one in moments]
    numbers = [None, 1.5, -0.0, 1e300, *([] if whole else [math.nan, math.inf])] * 3
    given: list[tuple[Field, pa.Array]] = [
        (Field("c", "TIMESTAMP"), pa.array(aware, pa.timestamp("us", "UTC"))),
        (Field("c", "DATETIME"), pa.array(moments, pa.timestamp("us"))),
        (Field("c", "DATE"), pa.array([one and one.date() for one in moments], pa.date32())),
        (Field("c", "FLOAT64"), pa.array(numbers[:rows], pa.float64())),
        (Field("c", "TIMESTAMP", "REPEATED"), pa.array([aware, []], pa.list_(pa.timestamp("us", "UTC")))),
    ]
    for field, column in given:
        many = pa.chunked_array([column[: len(column) // 2], column[len(column) // 2 :]])
        assert values.of_arrow(many, field) == values.of_column(column.to_pylist(), field)
