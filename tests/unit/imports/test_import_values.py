"""Values of properties, by their types."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from tidemill.imports import values
from tidemill.imports.spec import Property, TimeFormat, Type
from tidemill.imports.unfit import Unfit, shown


def one(kind: Type, value: Any, name: str = "p", form: TimeFormat = TimeFormat.AUTO) -> Any:
    """What becomes of a value. JSON that is kept as it came is read."""
    passed, convert = values.column(Property(column="c", name=name, type=kind, format=form))
    return read(value if type(value) in passed else convert(value))


def read(made: Any) -> Any:
    if isinstance(made, msgspec.Raw):
        return json.loads(bytes(made))
    return {name: read(inner) for name, inner in made.items()} if isinstance(made, dict) else made


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (Type.AUTO, "12", "12"),
        (Type.AUTO, 12, 12),
        (Type.AUTO, {"a": [1, None]}, {"a": [1, None]}),
        (Type.AUTO, math.nan, None),
        (Type.AUTO, -math.inf, None),
        (Type.STRING, "a", "a"),
        (Type.STRING, 12, "12"),
        (Type.STRING, 12.0, "12"),
        (Type.STRING, 0.5, "0.5"),
        (Type.STRING, 1e300, "1e+300"),
        (Type.STRING, True, "true"),
        (Type.STRING, [1, "a"], '[1,"a"]'),
        (Type.STRING, {"a": None}, '{"a":null}'),
        (Type.STRING, math.inf, None),
        (Type.STRING, ["\0", "\ud800"], '["\ufffd","\ufffd"]'),
        (Type.INTEGER, "12", 12),
        (Type.INTEGER, " -7 ", -7),
        (Type.INTEGER, "12.0", 12),
        (Type.INTEGER, 12.0, 12),
        (Type.INTEGER, 2**63 - 1, 2**63 - 1),
        (Type.INTEGER, math.nan, None),
        (Type.FLOAT, "1.5", 1.5),
        (Type.FLOAT, "1e3", 1000.0),
        (Type.FLOAT, 3, 3.0),
        (Type.FLOAT, math.nan, None),
        (Type.BOOLEAN, True, True),
        (Type.BOOLEAN, "TRUE", True),
        (Type.BOOLEAN, " false ", False),
        (Type.BOOLEAN, "1", True),
        (Type.BOOLEAN, "0", False),
        (Type.BOOLEAN, 0, False),
        (Type.BOOLEAN, 1.0, True),
        (Type.BOOLEAN, math.nan, None),
        (Type.JSON, '{"a": [1, "x"]}', {"a": [1, "x"]}),
        (Type.JSON, " 12 ", 12),
        (Type.JSON, "null", None),
        (Type.JSON, "  ", None),
        (Type.JSON, {"a": 1}, {"a": 1}),
        (Type.JSON, r'"\ud83d"', "\ufffd"),
        (Type.JSON, r'["\u0000", "\\u0000"]', ["\ufffd", r"\u0000"]),
        (Type.KEY_VALUES, {"a": 1}, {"a": 1}),
        (Type.KEY_VALUES, [], {}),
        (Type.KEY_VALUES, '[{"key": "a", "value": 1}]', {"a": 1}),
    ],
)
def test_a_value_that_fits(kind: Type, value: Any, stored: Any) -> None:
    made = one(kind, value)
    assert made == stored
    assert type(made) is type(stored)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.INTEGER, 12.5),
        (Type.INTEGER, "12.5"),
        (Type.INTEGER, "abc"),
        (Type.INTEGER, "1_000"),
        (Type.INTEGER, ""),
        (Type.INTEGER, True),
        (Type.INTEGER, 2**63),
        (Type.INTEGER, str(2**63)),
        (Type.INTEGER, 1e300),
        (Type.INTEGER, [1]),
        (Type.FLOAT, "nan"),
        (Type.FLOAT, "Infinity"),
        (Type.FLOAT, "1e999"),
        (Type.FLOAT, 10**400),
        (Type.FLOAT, "1,5"),
        (Type.FLOAT, False),
        (Type.BOOLEAN, "yes"),
        (Type.BOOLEAN, 2),
        (Type.BOOLEAN, 0.5),
        (Type.BOOLEAN, []),
        (Type.DATE, "soon"),
        (Type.DATE, 1_700_000_000),
        (Type.DATE, True),
        (Type.JSON, "{"),
        (Type.JSON, "{'a': 1}"),
        (Type.JSON, "NaN"),
        (Type.JSON, "[" * 501 + "]" * 501),
        (Type.KEY_VALUES, "abc"),
        (Type.KEY_VALUES, 1),
        (Type.KEY_VALUES, [1]),
        (Type.KEY_VALUES, [{"key": "a"}]),
        (Type.KEY_VALUES, [{"key": None, "value": 1}]),
        (Type.KEY_VALUES, [{"key": 5, "value": 1}]),
    ],
)
def test_a_value_that_does_not_fit(kind: Type, value: Any) -> None:
    with pytest.raises(Unfit):
        one(kind, value)


@pytest.mark.parametrize("kind", Type)
@pytest.mark.parametrize("name", ["p", "p.*", "*"])
def test_null_is_null_of_each_type(kind: Type, name: str) -> None:
    assert one(kind, None, name) is None


def test_ga4s_parameters_become_an_object() -> None:
    def value(**given: Any) -> dict[str, Any]:
        return dict.fromkeys(("string_value", "int_value", "float_value", "double_value")) | given

    given = [
        {"key": "page", "value": value(string_value="/a")},
        {"key": "number", "value": value(int_value=0)},
        {"key": "share", "value": value(double_value=0.5)},
        {"key": "none", "value": value()},
        {"key": "since", "value": value(string_value="pro", set_timestamp_micros=5)},
        {"key": "plain", "value": "text"},
        {"key": "object", "value": {"a": 1}},
        {"key": "page", "value": value(string_value="/b")},
    ]
    assert one(Type.KEY_VALUES, given) == {
        "page": "/b",
        "number": 0,
        "share": 0.5,
        "none": None,
        "since": "pro",
        "plain": "text",
        "object": {"a": 1},
    }


def test_what_is_spread_must_be_an_object() -> None:
    assert one(Type.JSON, '{"a": 1, "b": null}', "*") == {"a": 1, "b": None}
    assert one(Type.AUTO, {"a": 1}, "p.*") == {"a": 1}
    for kind, value in [
        (Type.AUTO, '{"a": 1}'),
        (Type.JSON, "[1]"),
        (Type.JSON, "5"),
        (Type.AUTO, [1]),
        (Type.JSON, 5),
    ]:
        with pytest.raises(Unfit, match="an object"):
            one(kind, value, "*")


def test_json_in_a_text_stays_as_it_came() -> None:
    passed, convert = values.column(Property(column="c", name="p", type=Type.JSON))
    assert str not in passed
    assert bytes(convert('{"n": 123456789012345678901234567890, "n": 1.10}')) == (
        b'{"n": 123456789012345678901234567890, "n": 1.10}'
    )


def test_only_the_values_that_do_not_fit_are_told() -> None:
    made, wrong = values.converted(
        ["1", "x", None, 4], values.column(Property(column="c", name="p", type=Type.INTEGER))
    )
    assert made == [1, None, None, 4]
    assert {at: str(unfit) for at, unfit in wrong.items()} == {1: "a whole number"}


@pytest.mark.parametrize("value", ["x" * 5000, ["x"] * 5000, "\ud800\0", {"a": math.nan}, 10**200])
def test_a_message_shows_a_hundred_characters_that_any_database_takes(value: Any) -> None:
    assert len(shown(value)) <= 100
    assert "\0" not in shown(value).encode().decode()
