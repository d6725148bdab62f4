"""What holds of every mapping and every row."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import ConfigError, RowError
from tidemill.reverse_etl import mapping

COLUMNS = ("a", "b", "email", "properties", "event")
GIVEN = {"__segment_id": "7", "messageId": "m", "event": "new", "type": "track"}

#: A mapping has no U+0000, which could not be kept.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.sampled_from(["", "2024-02-29", "+43 664 1234567", "1.5", "{}", "[1]", "$.a", "{{a}}", "0"])
)


def _is_json(value: object) -> bool:
    """A mapping is JSON, which has no NaN; a row of BigQuery may have one."""
    return not isinstance(value, float) or math.isfinite(value)


values = st.recursive(
    scalars | st.text(st.characters(), max_size=8),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(COLUMNS) | st.text(max_size=3), below, max_size=3)
    ),
    max_leaves=8,
)
rows = st.dictionaries(st.sampled_from(COLUMNS), values, max_size=5)

paths = st.sampled_from(
    [
        "$.a",
        "b",
        "$.",
        "$",
        "$.properties",
        "$.properties.a",
        "$.properties.properties",
        "a.b",
        "$.a[0].b",
        "$.email.0",
        "$.event",
        "$.properties.event",
        "$.__segment_id",
        "$.properties.messageId",
        "$.type",
        "$.gone",
        "properties.a[1]",
    ]
)
templates = st.lists(
    st.sampled_from(["{{a}}", "{{{ b.a }}}", "{{properties.email}}", "% ", "{{event}}", "%s", "x{"])
).map("".join)
liquids = st.sampled_from(
    ["{{ a }}", "{{ properties.email | upcase }}", "{% if a %}{{ b[0] }}{% else %}{{ event }}{% endif %}",
     "{% assign x = a | append: b %}{{ x | size }}", "{{ a.b | plus: 1 }}", "{{ a | date: '%Y' }}", "{{ properties }}",
     "{{ a | split: ',' | first }}", "{{ a | default: 'none' | truncate: 3 }}", "{{ a | divided_by: b }}",
     "{{ properties[a] }}", "{{ b | slice: 0, 3 | json }}", "{% unless b %}{{ messageId }}{% endunless %}"]
)  # fmt: skip


short = texts.filter(bool)


def of(name: str, **options: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.fixed_dictionaries(options)})


def optional(name: str, required: dict[str, Any], more: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.fixed_dictionaries(required, optional=more)})


def directives(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(st.sampled_from(["a", "b", "properties", "x"]), below, max_size=3)
    some = objects | paths.map(lambda path: {"@path": path})
    sources = paths.map(lambda path: {"@path": path}) | templates.map(lambda text: {"@template": text})
    return st.one_of(
        objects,
        st.lists(below, max_size=3),
        st.fixed_dictionaries({"@literal": below}),
        st.fixed_dictionaries({"@excludeWhenNull": below}),
        sources.map(lambda part: {"@path": part}),
        sources.map(lambda part: {"@template": part}),
        optional("@if", {"exists": st.just("x") | some}, {"then": below, "else": below}),
        optional("@if", {"blank": st.just("x") | some}, {"then": below, "else": below}),
        of("@case", operator=st.sampled_from(["lower", "upper"]), value=below),
        optional(
            "@replace",
            {"value": below, "pattern": short},
            {"replacement": short, "pattern2": short, "global": st.booleans()},
        ),
        st.tuples(paths | some, objects | some).map(lambda pair: {"@arrayPath": list(pair)}),
        optional("@flatten", {"value": below, "separator": short}, {"omitArrays": st.booleans()}),
        of("@json", mode=st.sampled_from(["encode", "decode"]), value=below),
        of("@merge", direction=st.sampled_from(["left", "right"]), objects=st.lists(some, max_size=3)),
        of("@transform", apply=some, mapping=some),
        optional(
            "@hash",
            {"value": below},
            {"normalize": st.sampled_from(["none", "email", "phone"]), "encoding": st.sampled_from(["hex", "base64"])},
        ),
        optional(
            "@date",
            {"value": below},
            {
                "parse": st.sampled_from(["iso", "seconds", "microseconds", "%Y-%m-%d"]),
                "format": st.sampled_from(["iso", "date", "milliseconds", "%d.%m.%y"]),
                "timezone": st.sampled_from(["UTC", "America/New_York"]),
            },
        ),
        optional(
            "@number",
            {"value": below},
            {"type": st.sampled_from(["integer", "float"]), "round": st.integers(0, 15), "default": below},
        ),
        optional("@lookup", {"value": below, "table": st.dictionaries(short, below, max_size=2)}, {"default": below}),
    )


leaves = (
    scalars.filter(_is_json)
    | paths.map(lambda path: {"@path": path})
    | templates.map(lambda text: {"@template": text})
    | liquids.map(lambda text: {"@liquid": text})
)
parts = st.recursive(leaves, directives, max_leaves=6)
mappings = st.dictionaries(st.sampled_from(["f", "g", "h"]), parts, max_size=3)

many = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def applied(made: mapping.Mapping, row: dict[str, Any]) -> str:
    """What comes of it, told in a way in which NaN is itself, and true is not 1."""
    try:
        return repr(made.apply(row, GIVEN))
    except RowError as error:
        assert error.code == "mapping_failed"
        assert error.message.startswith("$")
        return str(error)


@many
@given(mappings, rows)
def test_a_row_is_mapped_or_its_error_says_where(pasted: dict[str, Any], row: dict[str, Any]) -> None:
    before = copy.deepcopy(row)
    made = mapping.compile(pasted)
    applied(made, row)
    assert repr(row) == repr(before)
    if made.fields is not None:
        assert made.fields == set(pasted)


@many
@given(mappings, rows)
def test_only_the_columns_that_it_names_are_read(pasted: dict[str, Any], row: dict[str, Any]) -> None:
    made = mapping.compile(pasted)
    if made.columns is not None:
        assert applied(made, {name: row[name] for name in row if name in made.columns}) == applied(made, row)


names = st.sampled_from(
    [
        "@path", "@template", "@literal", "@if", "@case", "@replace", "@arrayPath", "@flatten", "@json",
        "@merge", "@transform", "@excludeWhenNull", "@liquid", "@hash", "@date", "@number", "@lookup", "@",
        "@x", "_metadata", "value", "exists", "then", "operator", "pattern", "objects", "direction", "apply",
        "mapping", "table", "parse", "format", "separator", "mode", "type", "__segment_internal_directive",
    ]
)  # fmt: skip
near_mappings = st.recursive(
    scalars | st.sampled_from(["lower", "left", "encode", "{{ a", "{% if %}", "%Y", "hex"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(names | st.text(max_size=3), below, max_size=4),
    max_leaves=12,
)


@many
@given(near_mappings)
def test_any_json_is_a_mapping_or_what_is_wrong_is_said(given: Any) -> None:
    try:
        made = mapping.compile(given)
    except ConfigError as error:
        assert error.code == "mapping_invalid"
        assert "$" in error.message
    else:
        applied(made, {"a": 1, "b": {"a": [None]}})


def test_a_row_that_is_deeper_than_python_goes_is_one_error() -> None:
    row: dict[str, Any] = {"a": 1}
    for _ in range(100_000):
        row = {"a": row}
    flat = mapping.compile({"f": {"@flatten": {"value": {"@path": "$.a"}, "separator": "."}}})
    with pytest.raises(RowError, match=r"^\$: a value is too deep or too large"):
        flat.apply(row)
    with pytest.raises(RowError, match=r"^\$: a value is too deep or too large"):
        mapping.compile({"f": {"@template": "{{a}}"}}).apply(row)
    while row["a"] != 1:  # one by one, or Python goes deeper than it can when it frees them
        row = row["a"]
