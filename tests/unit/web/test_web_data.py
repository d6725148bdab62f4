"""What came from outside, as pages show it: as it is, and never more of it than fits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.web.numbers import MOST, whole
from tidemill.web.pages import data

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
@settings(max_examples=40)
def test_a_small_value_is_written_as_json(value: Any) -> None:
    assert data.written(value) == json.dumps(value, indent=2, ensure_ascii=False)
    assert data.written(value, indent=None) == json.dumps(value, ensure_ascii=False)


def _deep(levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = [inner]
    return inner


class Counted(dict[str, Any]):
    """Counts how many of its members were asked for."""

    asked = 0

    def items(self) -> Any:
        for pair in super().items():
            self.asked += 1
            yield pair


@pytest.mark.parametrize("value", [_deep(400, list(range(100_000))), _deep(90_000, 1), {"a": "x" * 900_000}])
def test_of_a_large_or_deep_value_no_more_is_written_than_is_shown(value: Any) -> None:
    assert len(data.written(value)) < 3 * data._MOST
    assert data.as_json(value).count("…") == 1
    assert len(data.brief(value)) <= 80


def test_the_rest_of_a_large_value_is_not_even_looked_at() -> None:
    value = Counted((str(number), number) for number in range(100_000))
    data.written(value, 1_000)
    assert value.asked < 500


@pytest.mark.parametrize("text", ["[" * 100_000, '["' + "x" * 900_000 + '"]'])
def test_a_text_that_cannot_be_read_or_is_too_long_for_that_is_shown_as_it_came(text: str) -> None:
    assert len(data.as_json(text)) < 2 * data._MOST


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("17", 17), (str(MOST), MOST), (str(MOST + 1), None), ("9" * 5_000, None), ("²", None), ("٣", None),
     ("", None), ("-1", None), ("1\0", None), ("1.5", None)],
)  # fmt: skip
def test_a_number_of_an_address_is_one_that_a_database_takes_too(text: str, number: int | None) -> None:
    assert whole(text) == number
    assert whole(text, 1) == (1 if number is None else number)
