"""Braze: what is sent, what is made of its answers, and users that are deleted."""

from __future__ import annotations

import collections
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import lines
from tests.contract.api import Reply
from tests.contract.apis.braze import BrazeApi
from tests.unit.destinations import by_hand

from tidemill.destinations import deliver
from tidemill.destinations.braze import actions
from tidemill.destinations.braze.config import BRAZE, BrazeSettings
from tidemill.destinations.port import WRITTEN, BatchRefused, Mode, Op, Outcome, Record, SomeRefused, Status
from tidemill.errors import AccessError

OPENAPI = json.loads((Path(__file__).parents[2] / "data/openapi/braze.json").read_text())


@pytest.fixture
def api() -> Iterator[BrazeApi]:
    found = BrazeApi()
    yield found
    found.close()


def user(number: int, op: Op = Op.ADDED, mode: Mode = Mode.UPSERT, **made: Any) -> Any:
    return by_hand.record(actions.USERS, {"external_id": f"u{number}", **made}, op, mode, str(number))


def event(number: int, name: str) -> Record:
    made = {"external_id": f"u{number}", "name": name, "time": "2026-11-01T12:00:00Z"}
    return by_hand.record(actions.EVENTS, made, key=str(number))


def sent(api: BrazeApi, path: str = "/users/track") -> list[Any]:
    return [asked.json() for asked in api.asked if asked.path == path]


def test_attributes_are_sent_with_the_users_id_and_make_users_that_are_missing(api: BrazeApi) -> None:
    rows = [user(1, plan="pro", tags=["a", None], home={"city": "Bonn", "zip": None}, old=None, braze_id="")]
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, rows)
    expected = {
        "external_id": "u1",
        "plan": "pro",
        "tags": ["a"],
        "home": {"city": "Bonn"},
        "old": None,
        "_update_existing_only": False,
    }
    assert sent(api) == [{"attributes": [expected]}]
    assert "x-braze-batch" not in api.asked[0].headers


def test_updates_make_no_users(api: BrazeApi) -> None:
    rows = [user(number, Op.UPDATED, Mode.UPDATE) for number in range(2)]
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, rows)
    assert [row["_update_existing_only"] for row in sent(api)[0]["attributes"]] == [True, True]
    assert api.asked[0].headers["x-braze-batch"] == "true"


def test_a_mapping_may_say_that_users_who_are_missing_are_not_made(api: BrazeApi) -> None:
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, [user(1, _update_existing_only=True)])
    assert sent(api)[0]["attributes"] == [{"external_id": "u1", "_update_existing_only": True}]


def test_events_and_purchases_have_times_in_utc(api: BrazeApi) -> None:
    made = {"email": "a@example.com", "time": "2026-11-01T14:00:00+02:00", "update_existing_only": "true"}
    event = by_hand.record(actions.EVENTS, {**made, "name": "rented"})
    purchase = by_hand.record(
        actions.PURCHASES, {**made, "time": 1793534400, "product_id": 7, "currency": "EUR", "price": "9.50"}
    )
    by_hand.delivered(BRAZE, api.settings(), actions.EVENTS, [event])
    by_hand.delivered(BRAZE, api.settings(), actions.PURCHASES, [purchase])
    common = {"email": "a@example.com", "time": "2026-11-01T12:00:00.000Z", "_update_existing_only": True}
    assert sent(api) == [
        {"events": [{**common, "name": "rented"}]},
        {"purchases": [{**common, "product_id": "7", "currency": "EUR", "price": 9.5}]},
    ]


def test_users_are_deleted_fifty_a_call_and_by_one_kind_of_id(api: BrazeApi) -> None:
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, [user(number) for number in range(120)])
    gone = [user(number, Op.DELETED, Mode.MIRROR) for number in range(110)]
    mail = by_hand.record(actions.USERS, {"email": "a@example.com"}, Op.DELETED, Mode.MIRROR, "mail")
    alias = {"alias_name": "n", "alias_label": "l"}
    other = by_hand.record(actions.USERS, {"user_alias": alias}, Op.DELETED, Mode.MIRROR, "alias")
    told = by_hand.delivered(BRAZE, api.settings(), actions.USERS, [*gone, mail, other])
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert set(api.users) == {f"u{number}" for number in range(110, 120)}
    calls = sent(api, "/users/delete")
    assert sorted(len(call.get("external_ids", ())) for call in calls) == [0, 0, 25, 35, 50]
    assert {
        "email_addresses": [{"email": "a@example.com", "prioritization": ["identified", "most_recently_updated"]}]
    } in calls
    assert {"user_aliases": [alias]} in calls


@pytest.mark.parametrize("op", [Op.ADDED, Op.DELETED])
def test_an_alias_that_was_made_of_null_names_nobody(api: BrazeApi, op: Op) -> None:
    row = user(1, op, Mode.MIRROR, user_alias={"alias_name": None, "alias_label": "l"})
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, [row])
    (body,) = (asked.json() for asked in api.asked)
    expected = {"external_id": "u1", "_update_existing_only": False}
    assert body == ({"external_ids": ["u1"]} if op is Op.DELETED else {"attributes": [expected]})


@pytest.mark.parametrize(
    ("made", "op"),
    [
        ({"plan": "pro"}, Op.ADDED),
        ({"user_alias": {"alias_name": "n"}}, Op.ADDED),
        ({"external_id": ""}, Op.ADDED),
        ({"phone": "+491"}, Op.DELETED),
    ],
)
def test_a_row_that_names_no_user_is_set_aside_before_it_is_sent(api: BrazeApi, made: dict[str, Any], op: Op) -> None:
    rows = [by_hand.record(actions.USERS, made, op, Mode.MIRROR)]
    (outcome,) = by_hand.delivered(BRAZE, api.settings(), actions.USERS, rows).values()
    assert outcome.status is Status.REJECTED
    assert not api.asked


def test_each_row_that_is_named_is_set_aside_with_its_own_words() -> None:
    errors = [
        {"type": "'time' is not valid", "input_array": "events", "index": 2},
        {"type": "'name' is missing", "input_array": "events", "index": 0},
    ]
    found = actions.outcomes({"message": "success", "errors": errors}, "events", 3)
    assert [one.message for one in found] == ["'name' is missing", "", "'time' is not valid"]
    assert [one.status for one in found] == [Status.REJECTED, Status.WRITTEN, Status.REJECTED]


@pytest.mark.parametrize(
    "said",
    [
        {"message": "Something failed."},
        {"message": "Bad.", "errors": [{"type": "bad", "input_array": "events", "index": 0}]},
        {"message": "success", "events_processed": 0, "errors": ["bad"]},
        {},
    ],
)
def test_a_call_of_which_nothing_was_taken_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(BatchRefused) as caught:
        actions.outcomes(said, "events", 2)
    assert not isinstance(caught.value, SomeRefused)


_UNNAMED = [
    {"message": "success", "errors": ["bad"]},
    {"message": "success", "errors": [{"type": "bad", "input_array": "purchases", "index": 0}]},
    {"message": "success", "errors": [{"type": "bad", "input_array": "events", "index": 2}]},
]


@pytest.mark.parametrize("said", _UNNAMED)
def test_errors_of_nobody_knows_which_row_count_for_none_as_written(said: dict[str, Any]) -> None:
    found = actions.outcomes(said, "events", 2)
    assert [(one.status, one.unsure) for one in found] == [(Status.RETRY, True)] * 2
    with pytest.raises(SomeRefused):
        actions.outcomes(said, "attributes", 2)


def test_errors_of_nobody_knows_which_row_are_of_the_only_one_that_is_left() -> None:
    named = {"type": "old", "input_array": "events", "index": 0}
    found = actions.outcomes({"message": "success", "errors": [named, "bad"]}, "events", 2)
    assert [one.status for one in found] == [Status.REJECTED, Status.REJECTED]


def test_as_many_as_braze_counts_are_written_whatever_else_it_says() -> None:
    said = {"message": "success", "events_processed": 2, "errors": ["odd"]}
    assert actions.outcomes(said, "events", 2) == [WRITTEN] * 2


class _Nameless:
    """Takes events but those called bad, and does not say which these were."""

    def __init__(self) -> None:
        self.there: collections.Counter[str] = collections.Counter()

    def track(self, body: bytes, _: int) -> dict[str, Any]:
        events = json.loads(body)["events"]
        good = [event for event in events if event["name"] != "bad"]
        self.there.update(event["external_id"] for event in good)
        errors = {"errors": [{"type": "not valid", "input_array": "events"}]} if len(good) < len(events) else {}
        return {"message": "success", **errors}


def test_events_of_a_call_that_was_taken_in_part_are_not_sent_again_in_the_run_and_then_each_by_itself() -> None:
    braze, told = _Nameless(), {}
    line = lines.unpaced(braze, actions.EVENTS, lambda _: None)

    def run(**changes: Any) -> None:
        rows = [event(n, "bad" if n == 5 else "ok") for n in range(8)]
        changed = [dataclasses.replace(row, **changes) for row in rows]
        deliver.deliver(line, changed, lambda some: told.update({row.row_key: one for row, one in some}))

    run()
    assert set(braze.there.values()) == {1}
    assert {(one.status, one.code, one.unsure) for one in told.values()} == {(Status.RETRY, "braze_unclear", True)}
    run(tried=True)
    assert set(braze.there.values()) == {2}
    assert [key for key, one in told.items() if one.status is not Status.WRITTEN] == ["5"]


def test_rows_that_wait_for_the_end_of_a_maintenance_are_not_sent_twice(api: BrazeApi) -> None:
    api.faults = [Reply(202, {"message": "queued"})]
    made = {"external_id": "u1", "name": "rented", "time": "2026-11-01T12:00:00Z"}
    rows = [by_hand.record(actions.EVENTS, made, key=str(number)) for number in range(4)]
    told = by_hand.delivered(BRAZE, api.settings(), actions.EVENTS, rows)
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert len(api.asked) == 1


def test_a_workspace_that_takes_fewer_objects_gets_fewer() -> None:
    api = BrazeApi(most=50)
    told = by_hand.delivered(BRAZE, api.settings(), actions.USERS, [user(number) for number in range(75)])
    api.close()
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert len(api.users) == 75


def test_who_is_over_the_limit_waits_until_it_begins_anew(api: BrazeApi) -> None:
    waits: list[float] = []
    api.faults = [Reply(429, {"message": "Limit"}, {"X-RateLimit-Reset": str(int(time.time()) + 120)})]
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, [user(1)], waits)
    assert 60 < max(waits) <= 120


def test_a_key_that_may_not_delete_is_told_so(api: BrazeApi) -> None:
    api.faults = [Reply(401, {"message": "Access denied"})]
    with pytest.raises(AccessError, match="Access denied") as caught:
        by_hand.delivered(BRAZE, api.settings(), actions.USERS, [user(1, Op.DELETED, Mode.MIRROR)])
    assert "APIs and Identifiers" in caught.value.hint


def test_an_instance_has_its_own_address() -> None:
    key: Any = {"api_key": "k"}
    assert BrazeSettings(instance="iad-03", **key).address == "https://rest.iad-03.braze.com"
    assert BrazeSettings(instance="fra-02", **key).address == "https://rest.fra-02.braze.eu"
    assert BrazeSettings(instance="us-10", endpoint="https://proxy.example/", **key).address == "https://proxy.example"


def test_what_is_sent_is_as_the_description_of_the_api_has_it(api: BrazeApi) -> None:
    for action in BRAZE.actions:
        rows = [by_hand.record(action, api.fields(action.name, number), key=str(number)) for number in range(3)]
        told: dict[str, Outcome] = by_hand.delivered(BRAZE, api.settings(), action, rows)
        assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    by_hand.delivered(BRAZE, api.settings(), actions.USERS, [user(1, Op.DELETED, Mode.MIRROR)])
    assert len(api.asked) == 4
    for asked in api.asked:
        by_hand.assert_valid(OPENAPI["paths"][asked.path], asked.json())
