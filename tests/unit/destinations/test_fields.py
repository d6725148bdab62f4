"""Values of a mapping are checked against the fields of an action."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.destinations import fields, registry
from tidemill.destinations.port import Action, Field, Kind, Limits, Mode, Op, Outcome

ACTION = Action(
    "send", "Send", "Sends.", (Field("at", "At", "When.", Kind.DATETIME),), (Mode.UPSERT,), Limits(),
    lambda _: b"", lambda _client, _batch: (),
)  # fmt: skip


@pytest.mark.parametrize("value", [0, 1_700_000_000, 1_700_000_000_000, "2024-05-06", "2024-05-06T07:08:09+02:00"])
def test_a_time_that_can_be_sent_is_taken(value: Any) -> None:
    assert fields.checker(ACTION)({"at": value}, Op.ADDED) == {"at": value}
    assert fields.moment(value).tzinfo is not None


@pytest.mark.parametrize("value", [1e18, float("inf"), float("nan"), True, "tomorrow", "0001-01-01T00:00:00+14:00", []])
def test_a_time_that_no_calendar_has_is_refused(value: Any) -> None:
    found = fields.checker(ACTION)({"at": value}, Op.ADDED)
    assert isinstance(found, Outcome)
    assert found.code == fields.INVALID


PASTED = [
    (
        "braze",
        "users",
        {"external_id": "u1", "custom_attributes": {"plan": "pro", "email": "b@example.com"}, "email": "a@example.com"},
        {"external_id": "u1", "plan": "pro", "email": "a@example.com"},
    ),
    ("braze", "events", {"name": "n", "time": 1, "_update_existing_only": True}, {"update_existing_only": True}),
    ("clevertap", "profile", {"identity": "u1", "profileData": {"plan": "pro"}}, {"profile_data": {"plan": "pro"}}),
    ("customerio", "people", {"id": "u1", "custom_attributes": {"plan": "pro"}}, {"id": "u1", "plan": "pro"}),
    ("customerio", "events", {"person_id": "u1", "name": "n", "data": {"a": 1}}, {"id": "u1", "attributes": {"a": 1}}),
    ("mixpanel", "profiles", {"user_id": "u1", "traits": {"plan": "pro"}}, {"distinct_id": "u1", "plan": "pro"}),
    ("iterable", "users", {"userId": "u1", "dataFields": {"plan": "pro"}}, {"userId": "u1", "plan": "pro"}),
    ("segment", "track", {"user_id": "u1", "event_name": "Signed"}, {"event": "Signed"}),
    ("posthog", "capture", {"distinct_id": "u1", "event_name": "Signed"}, {"event": "Signed"}),
    ("amplitude", "identify", {"user_id": "u1", "user_properties": {"a": 1}}, {"properties": {"a": 1}}),
]


@pytest.mark.parametrize(("kind", "name", "pasted", "expected"), PASTED)
def test_fields_are_known_by_their_names_in_mappings_of_segments(
    kind: str, name: str, pasted: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = fields.checker(registry.get(kind).action(name))(pasted, Op.ADDED)
    assert not isinstance(found, Outcome)
    assert found == {**found, **expected}
    assert not {"custom_attributes", "traits", "dataFields", "data", "event_name", "profileData"} & set(found)


def test_a_field_that_is_named_twice_has_the_value_of_its_own_name() -> None:
    check = fields.checker(registry.get("segment").action("track"))
    found = check({"user_id": "u1", "event": "own", "event_name": "other"}, Op.ADDED)
    assert found == {"user_id": "u1", "event": "own"}


def test_what_is_to_be_an_object_of_attributes_and_is_none_is_refused() -> None:
    found = fields.checker(registry.get("braze").action("users"))({"custom_attributes": "pro"}, Op.ADDED)
    assert isinstance(found, Outcome)
    assert "custom_attributes" in found.message
