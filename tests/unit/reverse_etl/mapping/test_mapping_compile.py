"""What is wrong with a mapping is said, with its place; and which columns it reads is known."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.errors import ConfigError
from tidemill.reverse_etl import mapping


def problems(part: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        mapping.compile(part)
    assert caught.value.code == "mapping_invalid"
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"@case": {"operator": "title", "value": "x"}}, "$.f: @case.operator is 'title'; it is lower or upper."),
        ({"@case": "x"}, "$.f: @case is 'x'; it is an object of operator, value."),
        ({"@case": {"operator": "lower", "valu": 1}}, "$.f: @case has no 'valu'; it has operator, value."),
        ({"@nope": 1}, "$.f: there is no directive '@nope'; there are @path,"),
        ({"@path": 5}, "$.f: @path is 5; it is a path, or a directive that gives one."),
        ({"@path": ".."}, "$.f: @path is '..'; a path names something"),
        ({"@path": "a" * 1001}, "$.f: @path is a path of 1,001 characters; at most 1,000 are read."),
        ({"@path": "$.a", "@case": {}}, "$.f: @path and @case stand side by side"),
        ({"@path": "$.a", "other": 1}, "$.f: @path stands beside 'other'"),
        ({"@template": 5}, "$.f: @template is 5; it is a text"),
        ({"@template": "{{..}}"}, "$.f: @template is '..'; a path names something"),
        ({"@if": {"exists": 0, "then": 1}}, "$.f: @if has neither exists nor blank."),
        ({"@if": {"then": 1}}, "$.f: @if has neither exists nor blank."),
        ({"@replace": {"value": "a"}}, "$.f: @replace.pattern is null; it is a text of 1 to 10 characters."),
        ({"@replace": {"value": "a", "pattern": "x" * 11}}, "@replace.pattern is 'xxxxxxxxxxx'"),
        ({"@replace": {"value": "a", "pattern": "x", "replacement": 5}}, "@replace.replacement is 5"),
        ({"@replace": {"value": "a", "pattern": "x", "pattern2": 5}}, "@replace.pattern2 is 5"),
        ({"@replace": {"value": "a", "pattern": "x", "global": 1}}, "@replace.global is 1; it is true or false."),
        ({"@arrayPath": []}, "$.f: @arrayPath is a list; it is a list of a path, and a shape."),
        ({"@arrayPath": [5]}, "$.f: @arrayPath[0] is 5"),
        ({"@arrayPath": ["$.a", "b"]}, "$.f: @arrayPath[1] is 'b'; it is an object"),
        ({"@arrayPath": ["$.a", {"b": {"@case": {}}}]}, "$.f.@arrayPath[1].b: @case.operator is null"),
        ({"@flatten": {"value": {}}}, "$.f: @flatten.separator is null"),
        ({"@flatten": {"separator": "."}}, "$.f: @flatten has no value."),
        ({"@json": {"mode": "x", "value": 1}}, "$.f: @json.mode is 'x'; it is encode or decode."),
        ({"@json": {"mode": "encode"}}, "$.f: @json has no value."),
        ({"@merge": {"objects": []}}, "$.f: @merge.direction is null; it is left or right."),
        ({"@merge": {"direction": "left"}}, "$.f: @merge.objects is missing; it is a list."),
        ({"@merge": {"direction": "left", "objects": [1]}}, "$.f: @merge.objects[0] is 1; it is an object"),
        ({"@transform": {"apply": {}}}, "$.f: @transform.mapping is missing"),
        ({"@transform": {"apply": 1, "mapping": {}}}, "$.f: @transform.apply is 1"),
        ({"@excludeWhenNull": {"@case": {}}}, "$.f.@excludeWhenNull: @case.operator is null"),
        ([{"@path": "$.a"}, {"@case": {}}], "$.f[1]: @case.operator is null"),
        ({"@hash": {"value": 1, "algorithm": "sha1"}}, "$.f: @hash.algorithm is 'sha1'; it is sha256 or md5."),
        ({"@hash": {"value": 1, "encoding": "hexa"}}, "@hash.encoding is 'hexa'; it is hex or base64."),
        (
            {"@hash": {"value": 1, "normalize": "mail"}},
            "@hash.normalize is 'mail'; it is none, email, phone or phone_digits.",
        ),
        ({"@hash": {"value": 1, "country_code": 43}}, "@hash.country_code is 43; it is a text of digits"),
        ({"@hash": {}}, "$.f: @hash has no value."),
        ({"@date": {"value": 1, "parse": "epoch"}}, "$.f: @date.parse is 'epoch'; it is one of iso, seconds"),
        ({"@date": {"value": 1, "parse": "%Q"}}, "$.f: @date.parse is '%Q'"),
        ({"@date": {"value": 1, "parse": "%Y %Y"}}, "$.f: @date.parse is '%Y %Y'"),
        ({"@date": {"value": 1, "format": "epoch"}}, "$.f: @date.format is 'epoch'; it is one of iso, date, seconds"),
        ({"@date": {"value": 1, "timezone": "Mars/Base"}}, "$.f: @date.timezone is 'Mars/Base'"),
        ({"@date": {"value": 1, "timezone": "Europe"}}, "$.f: @date.timezone is 'Europe'"),
        ({"@date": {"value": 1, "timezone": "../x"}}, "$.f: @date.timezone is '../x'"),
        ({"@number": {"value": 1, "type": "int"}}, "$.f: @number.type is 'int'; it is number, integer or float."),
        ({"@number": {"value": 1, "round": True}}, "$.f: @number.round is true"),
        ({"@number": {"value": 1, "round": 16}}, "$.f: @number.round is 16; it is a number of digits from 0 to 15."),
        ({"@number": {}}, "$.f: @number has no value."),
        ({"@lookup": {"value": 1}}, "$.f: @lookup.table is missing; it is an object of values"),
        ({"@lookup": {"table": {}}}, "$.f: @lookup has no value."),
        ({"@lookup": {"value": 1, "table": {"a": {"@case": {}}}}}, "$.f.@lookup.table.a: @case.operator is null"),
    ],
)
def test_problems(part: Any, said: str) -> None:
    assert said in problems({"f": part})


def test_all_problems_are_told_each_on_its_line() -> None:
    said = problems({"a": {"@case": {"operator": "title"}}, "b": [{"@nope": 1}], "ok": {"@path": "$.id"}})
    lines = said.splitlines()
    assert lines[0] == "The mapping is not valid."
    assert [line.split(":")[0] for line in lines[1:]] == ["$.a", "$.b[0]"]


def test_at_most_twenty_are_told() -> None:
    lines = problems({f"f{number}": {"@nope": 1} for number in range(30)}).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 10 more."


@pytest.mark.parametrize("given", [None, 5, "text", [], [{"@path": "$.a"}], True])
def test_a_mapping_is_an_object(given: Any) -> None:
    assert "a mapping is an object" in problems(given)


def test_limits() -> None:
    deep: dict[str, Any] = {}
    for _ in range(63):
        deep = {"a": deep}
    mapping.compile(deep)
    assert "is more than 64 levels deep" in problems({"a": deep})
    assert "is larger than 1,000,000 bytes of JSON" in problems({"a": [1] * 1_000_001})
    assert "is larger than 1,000,000 bytes of JSON" in problems({"a": "ä" * 500_000})
    assert "is larger than 1,000,000 bytes of JSON" in problems({"a": 10**5000})
    endless: dict[str, Any] = {}
    endless["a"] = endless
    assert "is more than 64 levels deep" in problems(endless)


def test_what_json_does_not_have() -> None:
    assert "has the key 5; keys are texts" in problems({"a": {5: 1}})
    assert "has a value of the type set" in problems({"a": {1}})
    for text in ("\0", "a\ud800b"):
        assert "$.a: has U+0000 or half a surrogate pair" in problems({"a": [text]})
        assert "$: has U+0000 or half a surrogate pair" in problems({text: 1})


ALL = None


@pytest.mark.parametrize(
    ("part", "columns"),
    [
        ({}, set()),
        ("text", set()),
        ({"@path": "$.a.b[0]"}, {"a"}),
        ({"@path": "$.properties.a.b"}, {"properties", "a"}),
        ({"@path": "$.properties"}, ALL),
        ({"@path": "$."}, ALL),
        ({"@path": {"@path": "$.a"}}, ALL),
        ({"@template": "{{a.b}} {{{c}}} {{properties.d}}"}, {"a", "c", "properties", "d"}),
        ({"@template": {"@path": "$.a"}}, ALL),
        ({"@if": {"exists": {"@path": "$.a"}, "then": {"@path": "$.b"}, "else": {"@path": "$.c"}}}, {"a", "b", "c"}),
        ({"@arrayPath": ["$.a", {"x": {"@path": "$.b"}}]}, {"a"}),
        ({"@arrayPath": ["$.a", {"x": {"@path": {"@path": "$.b"}}}]}, {"a"}),
        ({"@transform": {"apply": {"a": {"@path": "$.x"}}, "mapping": {"@path": "$.a"}}}, {"x"}),
        ({"@transform": {"apply": {"@path": "$."}, "mapping": {"@path": "$.a"}}}, ALL),
        ({"@merge": {"direction": "left", "objects": [{"@path": "$.a"}, {"b": {"@path": "$.c"}}]}}, {"a", "c"}),
        ({"@hash": {"value": {"@path": "$.a"}}}, {"a"}),
        (
            {"@lookup": {"value": {"@path": "$.a"}, "table": {"x": {"@path": "$.b"}}, "default": {"@path": "$.c"}}},
            {"a", "b", "c"},
        ),
        ({"@number": {"value": {"@path": "$.a"}, "default": {"@path": "$.b"}}}, {"a", "b"}),
        ({"@path": "$.__segment_id"}, {"__segment_id"}),
    ],
)
def test_columns(part: Any, columns: set[str] | None) -> None:
    assert mapping.compile({"f": part}).columns == columns


@pytest.mark.parametrize(
    ("part", "columns", "unknown"),
    [
        ({"@path": "$.a.b"}, ["a"], []),
        ({"@path": "$.aa"}, ["a"], ["aa"]),
        ({"@path": "$.properties.aa"}, ["a"], ["aa"]),
        ({"@path": "$.properties.aa"}, ["properties"], []),  # a key of the column
        ({"@path": "$.properties"}, ["a"], []),
        ({"@path": "$."}, ["a"], []),
        ({"@path": "$.__segment_id"}, ["a"], []),
        ({"@path": {"@path": "$.aa"}}, ["a"], ["aa"]),
        ({"@template": "{{a}} {{aa}} {{properties.event}}"}, ["a"], ["aa"]),
        ({"@liquid": "{% assign x = a %}{{ x }} {{ aa }} {{ properties.ab }}"}, ["a"], ["aa", "ab"]),
        ({"@arrayPath": ["$.a", {"@path": "$.aa"}]}, ["a"], []),
        ({"@transform": {"apply": {"x": {"@path": "$.a"}}, "mapping": {"@path": "$.x"}}}, ["a"], []),
        # missing on purpose: it takes a key away
        (
            {"@merge": {"direction": "right", "objects": [{"@path": "$"}, {"a": {"@path": "$.doesnotexist"}}]}},
            ["a"],
            [],
        ),
        ({"@merge": {"direction": "right", "objects": [{"@path": "$.aa"}]}}, ["a"], ["aa"]),
    ],
)
def test_columns_that_the_model_does_not_have(part: Any, columns: list[str], unknown: list[str]) -> None:
    assert mapping.compile({"f": part}).unknown(columns) == unknown
