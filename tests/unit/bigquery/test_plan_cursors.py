"""From where a cursor that looks back looks at rows."""

from __future__ import annotations

import pytest

from tidemill.bigquery import plan_cursors


@pytest.mark.parametrize(
    ("kind", "position", "overlap", "unit", "expected"),
    [
        ("DATE", "2026-01-05", 3, None, "2026-01-02"),
        ("DATE", "0001-01-02", 5, None, "0001-01-01"),
        ("DATE", "2026-01-05", 10**15, None, "0001-01-01"),
        ("DATETIME", "2026-01-01 10:00:00.5", 10, None, "2026-01-01 00:00:00.500000"),
        ("TIMESTAMP", "2026-01-01 10:00:01+00", 10, None, "2026-01-01 00:00:01+00:00"),
        ("TIMESTAMP", "2026-01-01 10:00:00.000001-08", 1, None, "2026-01-01 09:00:00.000001-08:00"),
        ("TIMESTAMP", "0001-01-01 00:30:00+00", 1, None, "0001-01-01 00:00:00+00:00"),
        ("INT64", "9", 4, None, "5"),
        ("INT64", "1700036001", 10, "seconds", "1700000001"),
        ("INT64", "1700036000001", 10, "milliseconds", "1700000000001"),
        ("INT64", "-9223372036854775806", 4, None, "-9223372036854775808"),
        ("FLOAT64", "1.7e9", 1, "seconds", "1699996400.0"),
        ("NUMERIC", "1700036000.000000001", 10, "seconds", "1700000000.000000001"),
        ("BIGNUMERIC", f"5.{'3' * 38}", 4, None, f"1.{'3' * 38}"),
        ("STRING", "b", 0, None, "b"),
    ],
)
def test_so_far_back_and_not_beyond_the_first(
    kind: str, position: str, overlap: int, unit: str | None, expected: str
) -> None:
    assert plan_cursors.looked_from(kind, position, overlap, unit) == expected
