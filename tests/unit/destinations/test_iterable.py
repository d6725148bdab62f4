"""Iterable: what is sent, what is made of its answers, which name no rows, and users that are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.contract.apis.iterable import IterableApi
from tests.unit.destinations import by_hand

from tidemill.destinations.iterable import actions
from tidemill.destinations.iterable.config import ITERABLE, IterableSettings
from tidemill.destinations.port import Action, Mode, Op, Outcome, Record, SomeRefused, Status
from tidemill.errors import AccessError, ConfigError


@pytest.fixture
def api() -> Iterator[IterableApi]:
    found = IterableApi()
    yield found
    found.close()


def deliver(api: IterableApi, action: Action, *rows: Record) -> dict[str, Outcome]:
    return by_hand.delivered(ITERABLE, api.settings(), action, rows)


def user(key: str, op: Op = Op.ADDED, mode: Mode = Mode.MIRROR, **made: Any) -> Record:
    return by_hand.record(actions.USERS, made, op, mode, key)


def test_users_have_data_fields(api: IterableApi) -> None:
    row = user("1", email="a@example.com", userId="", plan="pro", old=None, mergeNestedObjects="yes")
    assert deliver(api, actions.USERS, row)["1"].status is Status.WRITTEN
    assert api.asked[0].json() == {
        "users": [
            {"email": "a@example.com", "mergeNestedObjects": True, "dataFields": {"plan": "pro", "old": None}},
        ]
    }


def test_updates_make_no_users(api: IterableApi) -> None:
    deliver(api, actions.USERS, user("1", userId="u1"))
    rows = [user(key, Op.UPDATED, Mode.UPDATE, userId=f"u{key}", plan="pro") for key in ("1", "2")]
    told = deliver(api, actions.USERS, *rows)
    assert api.asked[-1].json()["updateOnly"] is True
    assert told["1"].status is Status.WRITTEN
    assert (told["2"].status, told["2"].message) == (Status.REJECTED, "This userId is not known.")
    assert api.users == {"u1": {"plan": "pro"}}


def test_an_event_has_an_id_that_is_the_same_each_time_or_one_of_the_users(api: IterableApi) -> None:
    made = {"userId": 7, "eventName": "rented", "createdAt": "2026-11-01T12:00:00Z", "dataFields": {"n": 1}}
    for _ in range(2):
        deliver(api, actions.EVENTS, by_hand.record(actions.EVENTS, made))
    ((identity, event),) = api.events.items()
    assert event == {**made, "userId": "7", "createdAt": 1793534400, "id": identity}
    deliver(api, actions.EVENTS, by_hand.record(actions.EVENTS, {**made, "id": "mine"}))
    assert set(api.events) == {identity, "mine"}


def test_users_are_deleted_one_a_call_and_those_that_are_gone_are_deleted_too(api: IterableApi) -> None:
    deliver(api, actions.USERS, user("1", email="a+b@example.com"), user("2", userId="u/2"), user("3", userId="u3"))
    told = deliver(
        api,
        actions.USERS,
        user("1", Op.DELETED, email="a+b@example.com"),
        user("2", Op.DELETED, userId="u/2"),
        user("4", Op.DELETED, userId="u4"),
    )
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert set(api.users) == {"u3"}
    assert {asked.path for asked in api.asked if asked.method == "DELETE"} == {
        "/api/users/a%2Bb%40example.com",
        "/api/users/byUserId/u%2F2",
        "/api/users/byUserId/u4",
    }


def test_who_is_over_the_limit_waits_as_long_as_the_answer_says(api: IterableApi) -> None:
    waits: list[float] = []
    api.faults = [Reply(429, {"code": "RateLimitExceeded", "params": {"rateLimitReset": 77}})]
    by_hand.delivered(ITERABLE, api.settings(), actions.USERS, [user("1", userId="u1")], waits)
    assert max(waits) == 77


@pytest.mark.parametrize("code", ["UnknownUserIdError", "error.users.noUserWithIdExists"])
def test_a_user_who_is_not_known_is_deleted_too(api: IterableApi, code: str) -> None:
    api.faults = [Reply(400, {"code": code, "msg": "none"})]
    (outcome,) = deliver(api, actions.USERS, user("1", Op.DELETED, userId="u1")).values()
    assert outcome.status is Status.WRITTEN


@pytest.mark.parametrize(
    "reply", [Reply(400, {"code": "BadParams", "msg": "no"}), Reply(200, {"code": "BadParams", "msg": "no"})]
)
def test_a_deletion_that_is_refused_is_not_counted(api: IterableApi, reply: Reply) -> None:
    api.faults = [reply]
    (outcome,) = deliver(api, actions.USERS, user("1", Op.DELETED, userId="u1")).values()
    assert outcome.status is Status.REJECTED
    assert "BadParams" in outcome.message


def test_an_address_of_the_api_that_is_wrong_deletes_nothing(api: IterableApi) -> None:
    api.faults = [Reply(404, b"<html>not found</html>")]
    with pytest.raises(ConfigError):
        deliver(api, actions.USERS, user("1", Op.DELETED, userId="u1"))


def test_a_user_is_in_a_call_once(api: IterableApi) -> None:
    rows = [user(str(n), email=("A@example.com" if n % 2 else "a@example.com")) for n in range(3)]
    deliver(api, actions.USERS, *rows, user("9", userId="u9"))
    assert [len(asked.json()["users"]) for asked in api.asked] in ([1, 1, 2], [1, 2, 1], [2, 1, 1])


def test_a_field_of_another_kind_is_found_though_the_call_is_refused_as_a_whole(api: IterableApi) -> None:
    rows = [user(str(n), userId=f"u{n}", n="text" if n == 5 else n) for n in range(8)]
    told = deliver(api, actions.USERS, *rows)
    assert {key for key, outcome in told.items() if outcome.status is Status.REJECTED} == {"5"}
    assert "RequestFieldsTypesMismatched" in told["5"].message
    assert len(api.users) == 7


def test_all_events_of_a_user_who_is_to_be_forgotten_are_set_aside(api: IterableApi) -> None:
    api.forgotten = {"u1"}
    rows = [
        by_hand.record(actions.EVENTS, {"userId": who, "eventName": "seen", "dataFields": {}}, key=f"{who}{n}")
        for who in ("u1", "u2")
        for n in range(2)
    ]
    told = deliver(api, actions.EVENTS, *rows)
    assert [told[key].status for key in ("u10", "u11", "u20", "u21")] == [Status.REJECTED] * 2 + [Status.WRITTEN] * 2
    assert "forgotten" in told["u10"].message


ROWS = [{"email": "A@example.com", "eventName": "seen"}, {"userId": "u1", "eventName": "left"}]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"failCount": 0}, ["written", "written"]),
        ({"code": "Success"}, ["written", "written"]),
        ({"failCount": 1, "invalidEmails": ["a@example.com"]}, ["rejected", "written"]),
        ({"failCount": 1, "failedUpdates": {"conflictUserIds": ["u1"]}}, ["written", "rejected"]),
        ({"failCount": 1, "failedUpdates": {"newKindEmails": ["A@example.com"]}}, ["rejected", "written"]),
        ({"failCount": 1, "failedUpdates": {"failedUserIds": ["u1"]}}, ["written", "retry"]),
        ({"failCount": 1, "validEmailFailures": ["A@example.com"]}, ["retry", "written"]),
        ({"failCount": 0, "disallowedEventNames": ["left"]}, ["written", "rejected"]),
    ],
)
def test_users_and_events_that_an_answer_names(said: dict[str, Any], expected: list[str]) -> None:
    assert [one.status for one in actions.outcomes(said, ROWS)] == expected


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"code": "BadParams"},
        {"failCount": 1},
        {"failCount": 2, "invalidEmails": ["a@example.com"]},
        {"failCount": 1, "invalidEmails": ["somebody@example.com"]},
    ],
)
def test_more_failures_than_are_named_count_for_no_row_as_written(said: Any) -> None:
    with pytest.raises(SomeRefused):
        actions.outcomes(said, ROWS)


def test_ids_that_differ_in_the_case_of_letters_are_those_of_two_users() -> None:
    said = {"failCount": 1, "failedUpdates": {"conflictUserIds": ["U1"]}}
    found = actions.outcomes(said, [{"userId": "u1"}, {"userId": "U1"}])
    assert [one.status for one in found] == ["written", "rejected"]


def test_a_row_that_names_no_user_is_set_aside_before_it_is_sent(api: IterableApi) -> None:
    (outcome,) = deliver(api, actions.USERS, user("1", email="", plan="pro")).values()
    assert outcome.status is Status.REJECTED
    assert not api.asked


def test_a_key_that_is_refused_says_where_keys_are(api: IterableApi) -> None:
    with by_hand.client(ITERABLE, api.settings(good=False)) as client, pytest.raises(AccessError) as caught:
        client.test()
    assert "server-side" in caught.value.hint


def test_regions_have_their_own_addresses_and_the_pace_is_set() -> None:
    made: dict[str, Any] = {"api_key": "k"}
    assert IterableSettings(**made).address == "https://api.iterable.com"
    assert IterableSettings(region="eu", **made).address == "https://api.eu.iterable.com"
    assert IterableSettings(endpoint="https://proxy.example/", **made).address == "https://proxy.example"
    assert ITERABLE.pace(IterableSettings(calls_per_second=20, **made)).calls == 20
