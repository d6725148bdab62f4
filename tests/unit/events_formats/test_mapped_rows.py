"""Rows of any columns, by a mapping that is given or guessed; and which format a file has."""

import json
from typing import Any

import pytest

from tidemill.errors import ConfigError, RowError
from tidemill.events.formats import registry
from tidemill.events.formats.event import Event
from tidemill.events.formats.generic import Generic, Mapping


def row(mapping: Mapping, record: Any) -> Event:
    (event,) = Generic(mapping).parse(json.dumps(record).encode(), 5)
    assert isinstance(event, Event)
    return event


def test_all_columns_are_properties_if_none_is_mapped_to_them() -> None:
    event = row(Mapping(event="what", distinct_id="who"), {"what": "e", "who": 7, "other": [1]})
    assert (event.event, event.distinct_id, event.envelope) == ("e", "7", None)
    assert json.loads(event.properties) == {"what": "e", "who": 7, "other": [1]}


def test_columns_that_are_not_mapped_are_kept_beside_the_properties() -> None:
    mapping = Mapping(event="what", distinct_id="who", properties="props", timestamp="at")
    event = row(
        mapping, {"what": "e", "who": "d", "at": "2023-09-15", "props": '{"a":1}', "plan": "pro", "empty": None}
    )
    assert (event.properties, event.envelope) == ('{"a":1}', '{"plan":"pro"}')


def test_a_column_may_be_a_path() -> None:
    mapping, _ = Mapping(distinct_id="actor.login").guessed(["type", "actor", "created_at"])
    event = row(mapping, {"type": "Push", "actor": {"login": "ada"}, "created_at": "2023-09-15T00:00:00Z"})
    assert (event.event, event.distinct_id, event.has_time) == ("Push", "ada", True)
    with pytest.raises(RowError):
        row(mapping, {"type": "Push", "actor": "ada"})


def test_a_column_with_a_dot_in_its_name_is_that_column() -> None:
    assert (
        row(Mapping(event_name="e", distinct_id="a.b"), {"a.b": "dotted", "a": {"b": "inner"}}).distinct_id == "dotted"
    )


@pytest.mark.parametrize(("value", "team"), [(7, 7), ("7", 7), ("", None), (None, None)])
def test_a_team_as_number_or_text(value: Any, team: int | None) -> None:
    assert row(Mapping(event_name="e", distinct_id="d", team_id="t"), {"d": "x", "t": value}).team_id == team


@pytest.mark.parametrize("value", ["x", -1, 1.5, True, 2**63, "9" * 5000, "\u0667"])
def test_what_is_no_team(value: Any) -> None:
    with pytest.raises(RowError) as caught:
        row(Mapping(event_name="e", distinct_id="d", team_id="t"), {"d": "x", "t": value})
    assert caught.value.code == "field_type"


def test_an_array_on_a_line() -> None:
    found = Generic(Mapping(event_name="e", distinct_id="d")).parse(b'[{"d":"x"},{"d":""},{"d":"y"}]', 5)
    assert [type(item) for item in found] == [Event, RowError, Event]


def test_the_guess_is_told_and_what_was_given_stays() -> None:
    mapping, told = Mapping(distinct_id="customer").guessed(["Event_Name", "customer", "user_id", "Time", "insert_id"])
    assert (mapping.event, mapping.distinct_id, mapping.timestamp, mapping.uuid) == (
        "Event_Name",
        "customer",
        "Time",
        "insert_id",
    )
    assert "timestamp from Time" in told
    assert "distinct_id" not in told


@pytest.mark.parametrize("column", ["id", "event_id"])
def test_a_counter_does_not_pass_for_the_uuid(column: str) -> None:
    mapping, _ = Mapping().guessed(["event", "user_id", column])
    assert mapping.uuid is None


@pytest.mark.parametrize(
    ("mapping", "columns", "code"),
    [
        (Mapping(), ["user_id"], "mapping_missing"),
        (Mapping(), ["event"], "mapping_missing"),
        (Mapping(event="nope"), ["event", "user_id"], "mapping_column"),
        (Mapping(event="nope.x"), ["event", "user_id"], "mapping_column"),
    ],
)
def test_a_mapping_that_does_not_fit_names_the_columns(mapping: Mapping, columns: list[str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping.guessed(columns)
    assert caught.value.code == code
    assert columns[0] in caught.value.hint


SHAPES: list[tuple[str, Any]] = [
    ("posthog", {"event": "e", "distinct_id": "d", "properties": {}}),
    ("posthog", {"event": "e", "properties": {"distinct_id": "d", "time": 5}, "timestamp": "2023-09-15"}),
    ("posthog", {"api_key": "k", "event": "e", "distinct_id": "d"}),
    ("posthog", {"api_key": "k", "batch": [{"event": "e", "distinct_id": "d", "type": "capture", "messageId": "m"}]}),
    ("posthog", [{"event": "e", "distinct_id": "d", "properties": {}}]),
    ("posthog", {"uuid": "u", "event": "e", "distinct_id": "d", "properties": "{}", "team_id": 1}),
    ("segment", {"type": "track", "event": "e", "userId": "u", "properties": {}}),
    ("segment", {"type": "page", "anonymousId": "a"}),
    ("segment", {"batch": [{"type": "identify", "userId": "u"}]}),
    ("amplitude", {"api_key": "k", "events": []}),
    ("amplitude", {"event_type": "e", "user_id": "u", "event_properties": {}, "$insert_id": "i"}),
    ("mixpanel", {"event": "e", "properties": {"time": 5, "distinct_id": "d"}}),
    ("mixpanel", {"event": "e", "properties": {"time": 5, "$insert_id": "i", "$device_id": "d"}}),
    ("jsonl", {"type": "click", "userId": "u"}),
    ("jsonl", {"event_type": "purchase", "user_id": 5, "event_time": "2019-01-01", "price": 3}),
    ("jsonl", {"event": "e", "user_id": "u", "properties": {}}),
    ("jsonl", {"a": 1}),
]


@pytest.mark.parametrize(("name", "record"), SHAPES)
def test_the_format_is_told_by_the_first_record(name: str, record: Any) -> None:
    assert registry.detect(json.dumps(record).encode()) == name


@pytest.mark.parametrize(
    "record", [{"batch": 5}, {"batch": [5]}, {"batch": "x"}, [], [[]], {"event": "e", "properties": 5}]
)
def test_odd_records_are_told_too(record: Any) -> None:
    assert registry.detect(json.dumps(record).encode()) in registry.NAMES


@pytest.mark.parametrize("first", [b"hello", b"5", b"[5]", b'{"a":', b"\xff"])
def test_what_is_no_record_is_shown_with_the_formats(first: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.get("auto", Mapping(), first, rows=None)
    assert caught.value.code == "format_unclear"
    assert "posthog|segment" in caught.value.hint


def test_a_format_that_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="no format 'xml'"):
        registry.get("xml", Mapping(), b"{}", rows=None)
    with pytest.raises(ConfigError, match="This is a csv file"):
        registry.get("posthog", Mapping(), b"{}", rows="csv")
    with pytest.raises(ConfigError, match="no parquet file"):
        registry.get("parquet", Mapping(), b"{}", rows=None)
    with pytest.raises(ConfigError, match="has no mapping"):
        registry.get("segment", Mapping(event="e"), b"{}", rows=None)
    with pytest.raises(ConfigError, match="no field"):
        Mapping.of({"colour": "x"})
