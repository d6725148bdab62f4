"""What Segment's directives give: each line is one that a mapping pasted from there relies on."""

from __future__ import annotations

from typing import Any

import pytest
from tests.mapped import NOTHING, ROW, gives, made

from tidemill.errors import RowError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.id", gives(7)),
        ("id", gives(7)),
        ("$.address.city", gives("Linz")),
        ("$.items[0].sku", gives("x")),
        ("$.items.1.sku", gives("y")),
        ("$.items[9].sku", NOTHING),
        ("$.items[-1].sku", NOTHING),
        ("$.items[01].sku", NOTHING),
        ("$.items.sku", NOTHING),
        ("$.last", gives(None)),
        ("$.last.name", gives(None)),  # behind null there is null
        ("$.items[2].sku", gives(None)),
        ("$.items[3].sku", NOTHING),
        ("$.gone", NOTHING),
        ("$.gone.name", NOTHING),
        ("$.zero", gives(0)),
        ("$.zero.name", NOTHING),
        ("$.empty", gives("")),
        ("$.none", gives([])),
        ("$.properties.id", gives(7)),
        ("properties.address.city", gives("Linz")),
        ("$.properties.gone", NOTHING),
        ("$.properties", gives(ROW)),
        ("$.", gives(ROW)),
        ("$", gives(ROW)),
        ("", gives(ROW)),
    ],
)
def test_path(path: str, expected: dict[str, Any]) -> None:
    assert made({"@path": path}) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.properties.id", gives(1)),
        ("$.properties.email", NOTHING),
        ("$.properties", gives({"id": 1})),
        ("$.id", gives(7)),
    ],
)
def test_a_column_named_properties_is_taken_as_written(path: str, expected: dict[str, Any]) -> None:
    assert made({"@path": path}, {"id": 7, "email": "a@b.c", "properties": {"id": 1}}) == expected


def test_a_path_may_come_from_the_row() -> None:
    assert made({"@path": {"@template": "$.{{which}}"}}, {"which": "b", "b": 2}) == gives(2)
    with pytest.raises(RowError, match=r"^\$\.field: @path is made of 5, and should be of a text\."):
        made({"@path": {"@path": "$.which"}}, {"which": 5})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("Hello {{first}}!", "Hello Ana!"),
        ("{{ $.first }} {{{email}}}", "Ana Ana@Example.com"),
        ("{{properties.first}}", "Ana"),
        ("[{{gone}}{{last}}{{gone.name}}]", "[]"),
        ("{{zero}} {{no}} {{yes}} {{price}} {{half}}", "0 false true 2 0.5"),
        ("{{tags}}", "a,b"),
        ("{{address}}", '{"city":"Linz","zip":null,"geo":{"lat":48.3}}'),
        ("{{address.city}} {{items[0].sku}}", "Linz x"),
        ("100 % {{id}} %s", "100 % 7 %s"),
        ("{{id} }}", "{{id} }}"),
        ("no placeholder", "no placeholder"),
        ("", ""),
    ],
)
def test_template(template: str, expected: str) -> None:
    assert made({"@template": template}) == gives(expected)


def test_what_a_template_puts_in_is_not_a_template_again() -> None:
    assert made({"@template": "{{{a}}}"}, {"a": "{{b}}", "b": "secret"}) == gives("{{b}}")


def test_a_template_may_come_from_the_row() -> None:
    row = {"template": "{{id}}%", "id": 7, "number": 1}
    assert made({"@template": {"@path": "$.template"}}, row) == gives("7%")
    with pytest.raises(RowError, match=r"^\$\.field: @template is made of 1, and should be of a text"):
        made({"@template": {"@path": "$.number"}}, row)


def test_a_template_makes_no_more_than_a_megabyte() -> None:
    assert len(made({"@template": "{{a}}"}, {"a": "ä" * 500_000})["field"]) == 500_000
    with pytest.raises(RowError, match=r"^\$\.field: @template made a text of more than 1,000,000 bytes"):
        made({"@template": "{{a}}{{a}}"}, {"a": "ä" * 300_000})


A, LARGE = {"@path": "$.a"}, {"a": "x" * 100_000}
ESCAPED: Any = A
GROWN: Any = A
for _ in range(20):
    ESCAPED = {"@json": {"mode": "encode", "value": ESCAPED}}
    GROWN = {"@replace": {"value": GROWN, "pattern": "x", "replacement": "x" * 10}}


@pytest.mark.parametrize(
    ("part", "row"),
    [
        ({"@template": "{{a}}" * 150_000}, LARGE),
        ({"@json": {"mode": "encode", "value": [A] * 50_000}}, LARGE),
        ({"@transform": {"apply": {"b": [A] * 100}, "mapping": {"@template": "{{b}}"}}}, LARGE),
        ({"@transform": {"apply": {"b": {"c": [A] * 100}}, "mapping": {"@liquid": "{{b}}"}}}, LARGE),
        (ESCAPED, {"a": '"'}),
        (GROWN, LARGE),
    ],
)
def test_a_short_mapping_cannot_make_a_text_of_any_size(part: Any, row: dict[str, Any]) -> None:
    with pytest.raises(RowError, match=r"^\$\.field.* made a text of more than 1,000,000 bytes"):
        made(part, row)


DOUBLED: Any = {"@path": "$"}
for _ in range(20):
    DOUBLED = {"@transform": {"apply": {"a": {"b": A, "c": A}}, "mapping": DOUBLED}}


@pytest.mark.parametrize(
    "part",
    [
        [A] * 50_000,
        DOUBLED,
        {"@arrayPath": [{"@literal": [{"a": "x" * 900}] * 900}, {"b": [A] * 60}]},
        {"@flatten": {"value": {"b": [A] * 50_000}, "separator": "."}},
        {"@excludeWhenNull": {"b": {"c": [A] * 50_000}}},
    ],
)
def test_a_short_mapping_cannot_make_an_object_of_any_size(part: Any) -> None:
    with pytest.raises(RowError, match=r"^\$.*comes to more than 16,000,000 bytes"):
        made(part, LARGE)


def test_a_short_mapping_cannot_have_lists_in_lists_without_end() -> None:
    part: Any = {"a": 1}
    for _ in range(9):
        part = {"@arrayPath": [{"@literal": [1] * 10}, part]}
    with pytest.raises(RowError, match=r"^\$\.field.*: @arrayPath has more than 100,000 items in all"):
        made(part)
    orders = [{"items": [{"n": number} for number in range(100)]} for _ in range(500)]
    each = {"@arrayPath": ["$.orders", {"@arrayPath": ["$.items", {"@path": "$.n"}]}]}
    for _ in range(3):  # each row begins anew
        assert made(each, {"orders": orders})["field"] == [list(range(100))] * 500


@pytest.mark.parametrize("value", [1, 1.5, "text", "$.id", True, False, None, [], {}, [1, {"a": None}], {"a": {}}])
def test_literals_and_raw_values_are_themselves(value: Any) -> None:
    assert made(value) == made({"@literal": value}) == gives(value)


def test_directives_in_a_literal_are_carried_out() -> None:
    assert made({"@literal": {"a": {"@path": "$.id"}}}) == gives({"a": 7})


def test_notes_beside_a_directive_do_not_matter() -> None:
    assert made({"@path": "$.id", "_metadata": {"label": "Id"}}) == gives(7)


def test_missing_keys_are_left_out_null_ones_stay_and_lists_keep_their_length() -> None:
    part = {
        "a": {"@path": "$.gone"},
        "b": {"@path": "$.last"},
        "c": [{"@path": "$.id"}, {"@path": "$.gone"}, None],
        "d": {"e": {"@path": "$.gone"}},
    }
    assert made(part) == gives({"b": None, "c": [7, None, None], "d": {}})


@pytest.mark.parametrize(
    ("exists", "expected"),
    [
        ({"@path": "$.id"}, "then"),
        ({"@path": "$.zero"}, "then"),
        ({"@path": "$.no"}, "then"),
        ({"@path": "$.empty"}, "then"),
        ({"@path": "$.none"}, "then"),
        ({"@path": "$.last"}, "else"),
        ({"@path": "$.gone"}, "else"),
        ("text", "then"),
        ({}, "then"),
        ([], "then"),
    ],
)
def test_if_exists(exists: Any, expected: str) -> None:
    assert made({"@if": {"exists": exists, "then": "then", "else": "else"}}) == gives(expected)


@pytest.mark.parametrize(
    ("value", "blank"),
    [
        (None, True),
        ("", True),
        (0, True),
        (0.0, True),
        (False, True),
        ([], True),
        ([""], True),
        ([None], True),
        ([[]], True),
        (" ", False),
        ("0", False),
        ([0], False),
        ([[], []], False),
        ({}, False),
        (1, False),
        (True, False),
    ],
)
def test_if_blank_is_as_loose_as_javascript(value: Any, blank: bool) -> None:
    part = {"@if": {"blank": {"@path": "$.v"}, "then": "filled", "else": "blank"}}
    assert made(part, {"v": value}) == gives("blank" if blank else "filled")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exists": {"@path": "$.gone"}, "then": 1}, NOTHING),
        ({"exists": {"@path": "$.id"}, "else": 1}, NOTHING),
        ({"exists": {"@path": "$.id"}, "then": None}, gives(None)),
        ({"exists": {"@path": "$.id"}, "then": False}, gives(False)),
        ({"exists": {"@path": "$.gone"}, "else": False}, NOTHING),  # as at Segment
        ({"exists": {"@path": "$.gone"}, "else": {"@literal": False}}, gives(False)),
        ({"exists": None, "blank": "x", "then": 1, "else": 2}, gives(2)),  # exists goes first, if it is there at all
        ({"exists": {"@path": "$.last"}, "blank": {"@path": "$.id"}, "then": 1, "else": 2}, gives(2)),
    ],
)
def test_if_branches(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made({"@if": options}) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("lower", {"@path": "$.email"}, gives("ana@example.com")),
        ("upper", {"@path": "$.email"}, gives("ANA@EXAMPLE.COM")),
        ("upper", "text", gives("TEXT")),
        ("lower", {"@path": "$.id"}, gives(7)),
        ("lower", {"@path": "$.last"}, gives(None)),
        ("lower", {"@path": "$.tags"}, gives(["a", "b"])),
        ("lower", {"@path": "$.gone"}, NOTHING),
        ("lower", "", NOTHING),
        ("lower", 0, NOTHING),
    ],
)
def test_case(operator: str, value: Any, expected: dict[str, Any]) -> None:
    assert made({"@case": {"operator": operator, "value": value}}) == expected


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("a.b.c", {"pattern": ".", "replacement": "-"}, "a-b-c"),  # not a regular expression
        ("a.b.c", {"pattern": "."}, "abc"),
        ("a.b.c", {"pattern": ".", "replacement": None}, "abc"),
        ("a.b.c", {"pattern": ".", "replacement": "-", "global": False}, "a-b.c"),
        ("aAa", {"pattern": "A", "replacement": "x"}, "axa"),
        ("aAa", {"pattern": "A", "replacement": "x", "ignorecase": True}, "xxx"),
        ("aAa", {"pattern": "A", "replacement": r"\1", "ignorecase": True, "global": False}, r"\1Aa"),
        ("yes", {"pattern": "yes", "replacement": "1", "pattern2": "1", "replacement2": "on"}, "on"),
        ("yes!", {"pattern": "yes", "replacement": "no", "pattern2": "!"}, "no"),
        (True, {"pattern": "true", "replacement": "granted"}, "granted"),
        (False, {"pattern": "true", "replacement": "granted"}, "false"),
        (10, {"pattern": "0", "replacement": "1"}, "11"),
        (2.0, {"pattern": "2", "replacement": "1"}, "1"),
        ("", {"pattern": "a", "replacement": "b"}, ""),
        (None, {"pattern": "a"}, ""),  # as at Segment
        (["a"], {"pattern": "a"}, ""),
        ({}, {"pattern": "a"}, ""),
    ],
)
def test_replace(value: Any, options: dict[str, Any], expected: str) -> None:
    part = {"@replace": {"value": {"@path": "$.v"}, **options}}
    assert made(part, {"v": value}) == gives(expected)


def test_replace_of_nothing() -> None:
    assert made({"@replace": {"value": {"@path": "$.gone"}, "pattern": "a"}}) == gives("")
    assert made({"@replace": {"value": "", "pattern": "a"}}) == NOTHING
    assert made({"@replace": {"pattern": "a"}}) == NOTHING
