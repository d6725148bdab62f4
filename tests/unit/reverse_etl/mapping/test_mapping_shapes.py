"""What Segment's directives give that shape objects and lists, and read and write JSON."""

from __future__ import annotations

from typing import Any

import pytest
from tests.mapped import NOTHING, ROW, gives, made

from tidemill.errors import RowError
from tidemill.reverse_etl import mapping


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (["$.items"], gives(ROW["items"])),
        (["$.items", {}], gives(ROW["items"])),
        (["$.items", None], gives(ROW["items"])),
        (
            ["$.items", {"id": {"@path": "$.sku"}, "kind": "item"}],
            gives(
                [
                    {"id": "x", "kind": "item"},
                    {"id": "y", "kind": "item"},
                    {"id": None, "kind": "item"},
                    {"kind": "item"},
                ]
            ),
        ),
        (["$.items", {"@path": "$.n"}], gives([1, None, None, None])),
        (["$.address", {"town": {"@path": "$.city"}}], gives([{"town": "Linz"}])),  # one becomes a list of one
        (
            [{"@path": "$.items"}, {"s": {"@template": "<{{sku}}>"}}],
            gives([{"s": "<x>"}, {"s": "<y>"}, {"s": "<>"}, {"s": "<>"}]),
        ),
        (["$.tags", {"tag": {"@path": "$"}}], gives([{"tag": "a"}, {"tag": "b"}])),
        (["$.id", {"a": 1}], gives(7)),
        (["$.last", {"a": 1}], gives(None)),
        (["$.gone", {"a": 1}], NOTHING),
        (["$.none", {"a": 1}], gives([])),
    ],
)
def test_array_path(argument: list[Any], expected: dict[str, Any]) -> None:
    assert made({"@arrayPath": argument}) == expected


def test_in_a_shape_properties_is_a_key_like_others() -> None:
    row = {"items": [{"properties": {"a": 1}, "a": 2}]}
    assert made({"@arrayPath": ["$.items", {"@path": "$.properties.a"}]}, row) == gives([1])
    assert made({"@arrayPath": ["$.items", {"@path": "$.properties.a"}]}, {"items": [{"a": 2}]}) == gives([None])


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ({"a": {"b": 1}, "c": 2}, {"separator": "."}, gives({"a.b": 1, "c": 2})),
        ({"a": {"b": {"c": None}}}, {"separator": "__"}, gives({"a__b__c": None})),
        ({"a": [1, {"b": 2}]}, {"separator": "."}, gives({"a.0": 1, "a.1.b": 2})),
        ({"a": [1, {"b": 2}]}, {"separator": ".", "omitArrays": True}, gives({"a": [1, {"b": 2}]})),
        ({"a": {}, "b": []}, {"separator": "."}, gives({})),
        ([{"a": 1}], {"separator": "."}, gives({"0.a": 1})),
        (None, {"separator": "."}, gives(None)),
        (5, {"separator": "."}, gives(5)),
    ],
)
def test_flatten(value: Any, options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made({"@flatten": {"value": {"@path": "$.v"}, **options}}, {"v": value}) == expected


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("encode", {"@path": "$.address"}, gives('{"city":"Linz","zip":null,"geo":{"lat":48.3}}')),
        ("encode", {"@path": "$.first"}, gives('"Ana"')),
        ("encode", {"@path": "$.last"}, gives("null")),
        ("encode", {"@path": "$.gone"}, NOTHING),
        ("encode", "ä", gives('"ä"')),
        ("decode", {"@path": "$.json"}, gives({"a": [1]})),
        ("decode", {"@path": "$.first"}, gives("Ana")),  # it is no JSON
        ("decode", {"@path": "$.id"}, gives(7)),
        ("decode", {"@path": "$.gone"}, NOTHING),
        ("decode", "NaN", gives("NaN")),
        ("decode", '"\\ud800"', gives('"\\ud800"')),
        ("decode", "12345678901234567890123", gives(12345678901234567890123)),
        ("decode", "1e400", gives("1e400")),
        ("decode", "[" * 100_000, gives("[" * 100_000)),
        ("decode", "", gives("")),
    ],
)
def test_json(mode: str, value: Any, expected: dict[str, Any]) -> None:
    assert made({"@json": {"mode": mode, "value": value}}) == expected


@pytest.mark.parametrize(
    ("direction", "expected"), [("right", {"a": 2, "b": 1, "c": 3}), ("left", {"a": 1, "b": 1, "c": 3})]
)
def test_merge(direction: str, expected: dict[str, Any]) -> None:
    part = {"@merge": {"direction": direction, "objects": [{"a": 1, "b": 1}, {"a": 2, "c": 3}, {"@path": "$.last"}]}}
    assert made(part) == gives(expected)


def test_a_missing_value_takes_a_key_out_of_a_merge() -> None:
    without_email = {"@merge": {"direction": "right", "objects": [{"@path": "$."}, {"email": {"@path": "$.gone"}}]}}
    assert made(without_email, {"id": 1, "email": "a@b.c"}) == gives({"id": 1})
    nested = {"@merge": {"direction": "right", "objects": [{"email": "x"}, without_email]}}
    assert made(nested, {"id": 1, "email": "a@b.c"}) == gives({"id": 1})
    chosen = {"@if": {"exists": {"@path": "$.id"}, "then": {"email": {"@path": "$.gone"}}}}
    assert made(
        {"@merge": {"direction": "right", "objects": [{"@path": "$"}, chosen]}}, {"id": 1, "email": 2}
    ) == gives({"id": 1})


def test_merge_of_what_is_no_object() -> None:
    with pytest.raises(RowError, match=r"^\$\.field: @merge\.objects\[1\] gave 'Ana', and should give an object"):
        made({"@merge": {"direction": "right", "objects": [{}, {"@path": "$.first"}]}})


def test_transform() -> None:
    part = {
        "@transform": {
            "apply": {"user": {"mail": {"@case": {"operator": "lower", "value": {"@path": "$.email"}}}}},
            "mapping": {"id": {"@path": "$.user.mail"}, "gone": {"@path": "$.email"}},
        }
    }
    assert made(part) == gives({"id": "ana@example.com"})


def test_transform_of_what_is_no_object() -> None:
    part = {"@transform": {"apply": {"@path": "$.v"}, "mapping": {"a": {"@path": "$.a"}, "b": 1}}}
    assert made(part, {"v": None}) == made(part, {}) == gives({"b": 1})
    assert made(part, {"v": {"a": 2}}) == gives({"a": 2, "b": 1})
    with pytest.raises(RowError, match=r"^\$\.field: @transform\.apply gave a list, and should give an object"):
        made(part, {"v": [1]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NOTHING),
        (0, gives(0)),
        ("", gives("")),
        ({"a": None, "b": {"c": None, "d": 1}}, gives({"b": {"d": 1}})),
        ([None, {"a": None}], gives([None, {"a": None}])),
    ],
)
def test_exclude_when_null(value: Any, expected: dict[str, Any]) -> None:
    assert made({"@excludeWhenNull": {"@path": "$.v"}}, {"v": value}) == expected


def test_exclude_when_null_of_what_is_missing_and_literals() -> None:
    assert made({"@excludeWhenNull": {"@path": "$.gone"}}) == NOTHING
    assert made({"@excludeWhenNull": {"@literal": None}}) == NOTHING
    merged = {"@merge": {"direction": "right", "objects": [{"a": 1}, {"@excludeWhenNull": {"a": None}}]}}
    assert made(merged) == gives({})


def test_a_row_is_not_changed_and_not_shared() -> None:
    row = {"a": {"b": None}, "c": 1}
    whole = mapping.compile({"@path": "$"})
    given = whole.apply(row)
    given["d"] = 1
    merged = {"@merge": {"direction": "right", "objects": [{"@path": "$"}, {"c": 2}]}}
    mapping.compile({"a": {"@excludeWhenNull": {"@path": "$.a"}}, "m": merged}).apply(row)
    assert row == {"a": {"b": None}, "c": 1}
    fixed = mapping.compile({"list": [1], "object": {"a": []}})
    fixed.apply({})["list"].append(2)
    assert fixed.apply({}) == {"list": [1], "object": {"a": []}}
