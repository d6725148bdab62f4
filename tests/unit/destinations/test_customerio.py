"""Customer.io: what is sent, what is made of its answers, and what is set aside before it is sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.api import Reply
from tests.contract.apis.customerio import CustomerioApi
from tests.unit.destinations import by_hand

from tidemill.destinations.customerio import actions
from tidemill.destinations.customerio.config import CUSTOMERIO, CustomerioSettings
from tidemill.destinations.port import Action, Mode, Op, SomeRefused, Status
from tidemill.errors import AccessError, ConfigError

ACTIONS = {action.name: action for action in CUSTOMERIO.actions}


@pytest.fixture
def api() -> Iterator[CustomerioApi]:
    found = CustomerioApi()
    yield found
    found.close()


def sent(api: CustomerioApi, action: Action, made: dict[str, Any], op: Op = Op.ADDED) -> dict[str, Any]:
    """What goes over the line of a row."""
    told = by_hand.delivered(
        CUSTOMERIO, api.settings(), action, [by_hand.record(action, made, op, Mode.MIRROR, "key-1")]
    )
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    (row,) = api.asked[-1].json()["batch"]
    assert isinstance(row, dict)
    return row


def test_a_person_is_known_by_one_id_and_the_others_can_change(api: CustomerioApi) -> None:
    made = {"id": 7, "email": "a@example.com", "created_at": "2026-11-01T12:00:00Z", "plan": None, "cio_id": ""}
    related = [{"object_type_id": "1", "object_id": "o1"}]
    assert sent(api, actions.PEOPLE, {**made, "relationships": related}) == {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": "7"},
        "attributes": {"email": "a@example.com", "created_at": 1793534400, "plan": None},
        "cio_relationships": [{"identifiers": {"object_type_id": "1", "object_id": "o1"}}],
    }


def test_updates_make_nobody(api: CustomerioApi) -> None:
    row = by_hand.record(actions.PEOPLE, {"phone": "+491234", "plan": "pro"}, Op.UPDATED, Mode.UPDATE)
    by_hand.delivered(CUSTOMERIO, api.settings(), actions.PEOPLE, [row])
    (sent,) = api.asked[0].json()["batch"]
    assert sent["identifiers"] == {"phone": "+491234"}
    assert sent["attributes"] == {"plan": "pro", "_update": True}
    assert not api.kept["people"]


def test_an_event_has_an_id_that_is_the_same_each_time(api: CustomerioApi) -> None:
    made = {"email": "a@example.com", "name": "rented", "timestamp": "2026-11-01T12:00:00.5Z", "attributes": {"n": 1}}
    first, second = (sent(api, actions.EVENTS, made) for _ in range(2))
    assert first == second
    assert {name: value for name, value in first.items() if name != "id"} == {
        "type": "person",
        "action": "event",
        "identifiers": {"email": "a@example.com"},
        "name": "rented",
        "timestamp": 1793534400,
        "attributes": {"n": 1},
    }
    assert len(api.kept["events"]) == 1
    assert "timestamp" not in sent(api, actions.EVENTS, {"anonymous_id": "a1", "name": "seen"})


def test_objects_have_people(api: CustomerioApi) -> None:
    made = {"object_type_id": 1, "object_id": "o1", "name": "Acme", "people": ["u1", 2]}
    assert sent(api, actions.OBJECTS, made) == {
        "type": "object",
        "action": "identify",
        "identifiers": {"object_type_id": "1", "object_id": "o1"},
        "attributes": {"name": "Acme"},
        "cio_relationships": [{"identifiers": {"id": "u1"}}, {"identifiers": {"id": "2"}}],
    }


def test_deleted_rows_delete(api: CustomerioApi) -> None:
    sent(api, actions.PEOPLE, {"id": "u1"})
    sent(api, actions.OBJECTS, {"object_type_id": "1", "object_id": "o1"})
    assert sent(api, actions.PEOPLE, {"id": "u1"}, Op.DELETED) == {
        "type": "person",
        "action": "delete",
        "identifiers": {"id": "u1"},
    }
    sent(api, actions.OBJECTS, {"object_type_id": "1", "object_id": "o1"}, Op.DELETED)
    assert not api.kept["people"]
    assert not api.kept["objects"]


LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@given(st.uuids(), st.one_of(st.none(), st.integers(-(2**50), 2**47)))
def test_a_ulid_holds_the_time_and_the_row(row: uuid.UUID, when: int | None) -> None:
    text = actions.ulid(str(row), when)
    number = 0
    for letter in text:
        number = number * 32 + LETTERS.index(letter)
    assert len(text) == 26
    assert number < 2**128
    assert number % 2**80 == row.int % 2**80
    assert number >> 80 == (row.int >> 80 if when is None else max(0, when))


@pytest.mark.parametrize(
    ("action", "made", "told"),
    [
        ("people", {"plan": "pro"}, "One of id"),
        ("people", {"id": "u1", "é" * 76: 1}, "longer than 150 bytes"),
        ("people", {"id": "u1", "text": "é" * 501}, "'text' is longer than 1,000 bytes"),
        ("people", {"id": "u1", **{f"a{n}": n for n in range(301)}}, "more than 300 attributes"),
        ("objects", {"object_type_id": "1", "object_id": "o1", "text": "x" * 1_001}, "longer than 1,000 bytes"),
        ("people", {"id": "u1", "text": "x" * 300 + "\ud800"}, "no Unicode"),
        ("events", {"name": "rented"}, "One of id"),
        ("events", {"id": "u1", "name": "é" * 51}, "longer than 100 bytes"),
        ("events", {"id": "u1", "name": "n", "attributes": {"a": "x" * 32_000}}, "32,000 are allowed"),
    ],
)
def test_what_is_beyond_the_limits_is_set_aside_before_it_is_sent(
    api: CustomerioApi, action: str, made: dict[str, Any], told: str
) -> None:
    rows = [by_hand.record(ACTIONS[action], made)]
    (outcome,) = by_hand.delivered(CUSTOMERIO, api.settings(), ACTIONS[action], rows).values()
    assert outcome.status is Status.REJECTED
    assert told in outcome.message
    assert not api.asked


def test_what_is_just_within_the_limits_is_taken(api: CustomerioApi) -> None:
    sent(api, actions.PEOPLE, {"id": "u1", "é" * 75: "x" * 1_000, **{f"a{n}": n for n in range(299)}})
    sent(api, actions.EVENTS, {"id": "u1", "name": "é" * 50})


def test_each_row_that_is_named_is_set_aside_with_its_own_words() -> None:
    errors = [
        {"batch_index": 2, "reason": "invalid", "field": "email", "message": "bad"},
        {"batch_index": 0, "reason": "r"},
    ]
    assert [one.message for one in actions.outcomes(errors, 3)] == ["r", "", "email: bad"]


@pytest.mark.parametrize("errors", [["bad"], [{"reason": "bad"}], [{"batch_index": 2}], [{"batch_index": 0}, "bad"]])
def test_errors_of_nobody_knows_which_row_count_for_none_as_written(errors: list[Any]) -> None:
    with pytest.raises(SomeRefused):
        actions.outcomes(errors, 2)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(207, b"no json"),
        Reply(400, {"errors": [{"batch_index": 1, "reason": "bad"}]}),
        Reply(413, {}),
        Reply(400, {"errors": [{"reason": "invalid", "field": "batch", "message": "no"}]}),
    ],
)
def test_an_answer_that_says_too_little_leads_to_smaller_calls(api: CustomerioApi, reply: Reply) -> None:
    api.faults = [reply]
    rows = [by_hand.record(actions.PEOPLE, {"id": f"u{n}"}, key=str(n)) for n in range(4)]
    told = by_hand.delivered(CUSTOMERIO, api.settings(), actions.PEOPLE, rows)
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert [len(asked.json()["batch"]) for asked in api.asked] == [4, 2, 2]


def test_an_account_of_another_region_is_found_by_the_test(api: CustomerioApi) -> None:
    with by_hand.client(CUSTOMERIO, {**api.settings(), "region": "us"}) as client, pytest.raises(ConfigError) as caught:
        client.test()
    assert caught.value.hint == "Set region to eu."


def test_a_key_that_is_refused_says_where_keys_are(api: CustomerioApi) -> None:
    with by_hand.client(CUSTOMERIO, api.settings(good=False)) as client, pytest.raises(AccessError) as caught:
        client.test()
    assert "Track API" in caught.value.hint


def test_regions_have_their_own_addresses() -> None:
    made: dict[str, Any] = {"site_id": "s", "api_key": "k"}
    assert CustomerioSettings(**made).address == "https://track.customer.io"
    assert CustomerioSettings(region="eu", **made).address == "https://track-eu.customer.io"
    assert CustomerioSettings(endpoint="https://proxy.example/", **made).address == "https://proxy.example"
    assert CustomerioSettings(region="eu", **made).account == "eu/s"
