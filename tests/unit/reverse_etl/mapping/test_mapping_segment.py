"""Whole mappings, as Segment writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.destinations.port import Op
from tidemill.errors import ConfigError, RowError
from tidemill.reverse_etl import mapping

GIVEN = mapping.given_of("7", "m-1", Op.UPDATED)


def test_a_mapping_of_an_identify_call() -> None:
    pasted = {
        "__segment_internal_sync_mode": "upsert",
        "__segment_internal_matching_key": "email",
        "retlOnMappingSave": {"inputs": {}, "outputs": {"id": "1"}},
        "onMappingSave": {},
        "user_id": {"@path": "$.__segment_id"},
        "message_id": {"@path": "$.messageId"},
        "traits": {
            "Email": {"@path": "$.properties.EMAIL"},
            "Score": {"@excludeWhenNull": {"@path": "$.properties.SCORE"}},
        },
        "event": {"@path": "$.event"},
    }
    made = mapping.compile(pasted)
    assert made.apply({"EMAIL": "a@b.c", "SCORE": None}, GIVEN) == {
        "user_id": "7",
        "message_id": "m-1",
        "traits": {"Email": "a@b.c"},
        "event": "updated",
    }
    assert made.fields == frozenset({"user_id", "message_id", "traits", "event"})


def test_a_directive_around_the_whole_mapping() -> None:
    flat = {"@flatten": {"value": {"@path": "$.properties.context"}, "separator": "__", "omitArrays": True}}
    without = {"context": {"@path": "$.doesnotexist"}}
    properties = {"@merge": {"direction": "right", "objects": [{"@path": "$.properties"}, flat, without]}}
    apply = {"@merge": {"direction": "right", "objects": [{"@path": "$."}, {"properties": properties}]}}
    pasted: dict[str, Any] = {
        "__segment_internal_directive": {"@transform": {"apply": apply, "mapping": {"@path": "$."}}},
        "id": {"@path": "$.__segment_id"},
        "plan": {"@path": "$.properties.account__plan"},
        "data": {"@path": "$.properties"},
    }
    row = {"email": "a@b.c", "context": {"account": {"plan": "pro", "seats": [1, 2]}}}
    assert mapping.compile(pasted).apply(row, GIVEN) == {
        "id": "7",
        "plan": "pro",
        "data": {"email": "a@b.c", "account__plan": "pro", "account__seats": [1, 2]},
    }


def test_the_directive_alone_has_its_own_mapping() -> None:
    directive = {"@transform": {"apply": {"a": {"@path": "$.b"}}, "mapping": {"c": {"@path": "$.a"}}}}
    made = mapping.compile({"__segment_internal_directive": directive})
    assert made.apply({"b": 1}) == {"c": 1}
    assert made.fields is None


@pytest.mark.parametrize(
    ("around", "said"),
    [
        ({"@path": "$."}, "is not @transform"),
        (5, "is 5; it is a directive"),
        ({"@transform": {}}, "has no apply"),
        ({"@transform": {"apply": {"@case": {}}}}, "@transform.apply: @case.operator is null"),
    ],
)
def test_a_wrong_directive_around(around: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping.compile({"__segment_internal_directive": around, "a": 1})
    assert said in caught.value.message


def test_what_is_given_beside_the_columns() -> None:
    made = mapping.compile({"a": {"@path": "$.event"}, "b": {"@template": "{{properties.__segment_id}}"}})
    assert made.apply({"x": 1}, GIVEN) == {"a": "updated", "b": "7"}
    assert made.apply({"event": "signup"}, GIVEN) == {"a": "signup", "b": "7"}  # a column goes first
    assert made.apply({"event": None}, GIVEN) == {"a": None, "b": "7"}
    assert made.apply({}) == {"b": ""}


def test_what_happened_is_told_in_segments_words() -> None:
    assert [mapping.given_of("7", "m", op)["event"] for op in Op] == ["new", "updated", "deleted"]
    assert set(mapping.given_of("7", "m", Op.ADDED)) == mapping.GIVEN


def test_what_is_given_is_no_part_of_the_row() -> None:
    made = mapping.compile({"id": {"@path": "$.__segment_id"}, "row": {"@path": "$."}})
    assert made.apply({"x": 1}, GIVEN) == {"id": "7", "row": {"x": 1}}


def test_a_mapping_that_is_a_directive() -> None:
    made = mapping.compile({"@path": "$.data"})
    assert made.apply({"data": {"a": 1}}) == {"a": 1}
    assert made.fields is None
    with pytest.raises(RowError, match=r"^\$: the mapping gave missing, and should give an object") as caught:
        made.apply({})
    assert caught.value.code == "mapping_failed"


def test_what_says_how_segment_delivers_is_no_field_unless_it_is_of_the_row() -> None:
    made = {"enable_batching": True, "batch_size": 75, "batch_keys": ["a"], "__segment_internal_anything": "x"}
    assert mapping.compile({"a": 1, **made}).apply({}) == {"a": 1}
    assert mapping.compile({"batch_size": {"@path": "$.batch_size"}}).apply({"batch_size": 3}) == {"batch_size": 3}
