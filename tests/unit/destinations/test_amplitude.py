"""What is Amplitude's own: events, operations, answers that name events by place, who is waited for, cohorts."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest
from pydantic import SecretStr
from tests import lines
from tests.unit.destinations import by_hand

from tidemill.destinations import deliver, fields, registry
from tidemill.destinations.amplitude import actions, client, config
from tidemill.destinations.port import WRITTEN, BatchRefused, Mode, Op, Outcome, Outlet, Record, Sending, Status
from tidemill.errors import AccessError, Cancelled, ConfigError, RetryableError, UnavailableError
from tidemill.outbound.client import Answer

AMPLITUDE = registry.get("amplitude")


def record(action: str, op: Op = Op.ADDED, **mapped: Any) -> Record:
    found = fields.checker(AMPLITUDE.action(action))(mapped, op)
    assert not isinstance(found, Outcome), found
    return Record("1", "id-1", op, Mode.UPSERT, found)


def sending(action: str, op: Op = Op.ADDED, **mapped: Any) -> Sending:
    one = record(action, op, **mapped)
    return Sending(one, AMPLITUDE.action(action).encode(one))


def answer(status: int, **body: Any) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


class Wire:
    """Stands for requests: gives these answers, one after the other."""

    def __init__(self, *given: Answer) -> None:
        self.given = list(given)
        self.urls: list[str] = []
        self.bodies: list[bytes] = []
        self.waits: list[float] = []

    def request(self, _method: str, url: str, *, body: bytes, **_: Any) -> Answer:
        self.urls.append(url)
        self.bodies.append(body)
        return self.given.pop(0)

    def users(self) -> list[list[str]]:
        return [[event["user_id"] for event in json.loads(body)["events"]] for body in self.bodies]


def opened(wire: Wire, *, secret: bool = True, **settings: Any) -> client.AmplitudeClient:
    keys = {"api_key": SecretStr("key"), "secret_key": SecretStr("secret") if secret else None}
    found = config.AmplitudeSettings(**{**keys, **settings})
    return client.AmplitudeClient(found, Outlet(wire, wire.waits.append))  # type: ignore[arg-type]


def users(*ids: str) -> list[Sending]:
    return [sending("track", event_type="Paid", user_id=one) for one in ids]


@pytest.mark.parametrize(
    ("action", "mapped", "expected"),
    [
        (
            "track",
            {
                "event_type": "Paid",
                "time": "2024-01-01T00:00:01Z",
                "event_properties": {"a": 1},
                "b": 2,
                "city": "Bonn",
            },
            {"event_type": "Paid", "time": 1_704_067_201_000, "event_properties": {"a": 1, "b": 2}, "city": "Bonn"},
        ),
        (
            "track",
            {"event_type": "Paid", "product_id": "p", "revenue": "2.5", "session_id": "7"},
            {"event_type": "Paid", "productId": "p", "revenue": 2.5, "session_id": 7},
        ),
        (
            "identify",
            {"properties": {"a": 1}, "plan": "pro", "set_once": {"first": 1}, "unset": ["old"], "add": {"n": 1}},
            {
                "event_type": "$identify",
                "user_properties": {
                    "$set": {"a": 1, "plan": "pro"},
                    "$setOnce": {"first": 1},
                    "$add": {"n": 1},
                    "$unset": {"old": "-"},
                },
            },
        ),
    ],
)
def test_a_row_becomes_an_event(action: str, mapped: dict[str, Any], expected: dict[str, Any]) -> None:
    found = json.loads(sending(action, user_id="user-1", **mapped).body)
    assert found == {"insert_id": "id-1", "user_id": "user-1", **expected}


def test_groups_are_sent_as_a_form_whose_bytes_are_counted() -> None:
    wire = Wire(answer(200))
    one = sending("group", group_type="company", group_value="a&b", name="Söhne + Co")
    actions.send_groups(opened(wire), [one, one])
    form = dict(urllib.parse.parse_qsl(wire.bodies[0].decode(), strict_parsing=True))
    expected = {"group_type": "company", "group_value": "a&b", "group_properties": {"$set": {"name": "Söhne + Co"}}}
    assert form["api_key"] == "key"
    assert json.loads(form["identification"]) == [expected, expected]
    assert wire.bodies[0].count(one.body) == 2


@pytest.mark.parametrize(
    ("action", "mapped"),
    [
        ("track", {"event_type": "Paid"}),
        ("track", {"event_type": "Paid", "user_id": "Unknown"}),
        ("track", {"event_type": "Paid", "user_id": "user-1", "device_id": "null"}),
        ("track", {"event_type": "[Amplitude] Revenue", "user_id": "user-1"}),
        ("track", {"event_type": "$identify", "user_id": "user-1"}),
        ("identify", {"user_id": "user-1"}),
        ("identify", {"plan": "pro"}),
        ("group", {"group_type": "company", "group_value": "acme"}),
        ("cohort", {"cohort_id": "c"}),
        ("cohort", {"cohort_id": "c", "user_id": "u", "amplitude_id": "5"}),
    ],
)
def test_what_amplitude_would_drop_or_refuse_is_set_aside_here(action: str, mapped: dict[str, Any]) -> None:
    wrong = AMPLITUDE.action(action).check(record(action, **mapped))
    assert wrong is not None
    assert wrong.status is Status.REJECTED


@pytest.mark.parametrize(("least", "statuses"), [(5, ["rejected", "written"]), (4, ["written", "written"])])
def test_an_id_that_is_too_short_would_be_taken_off_the_event(least: int, statuses: list[str]) -> None:
    wire = Wire(answer(200))
    outcomes = actions.send_events(opened(wire, min_id_length=least), users("u-12", "u-123"))
    assert [outcome.status.value for outcome in outcomes] == statuses
    assert json.loads(wire.bodies[0])["options"] == {"min_id_length": least}


def test_no_call_is_made_of_rows_that_are_all_wrong() -> None:
    wire = Wire()
    assert [outcome.status for outcome in actions.send_events(opened(wire), users("u", "v"))] == [Status.REJECTED] * 2


def test_events_that_are_named_are_set_aside_and_the_others_sent_again() -> None:
    wire = Wire(
        answer(400, error="Invalid field values on some events", events_with_invalid_fields={"time": [1]}),
        answer(400, error="Missing", events_with_missing_fields={"x": [0]}, silenced_events=[2]),
        answer(200),
    )
    outcomes = actions.send_events(opened(wire), users("user-0", "user-1", "user-2", "user-3"))
    assert wire.users() == [["user-0", "user-1", "user-2", "user-3"], ["user-0", "user-2", "user-3"], ["user-2"]]
    assert [outcome.code for outcome in outcomes] == [
        "amplitude_invalid",
        "amplitude_invalid",
        "",
        "amplitude_silenced",
    ]
    assert "time is invalid" in outcomes[1].message


@pytest.mark.parametrize("places", [[], [9], [-1], ["0"], [True], None])
def test_a_refusal_that_names_nothing_is_one_of_the_whole(places: Any) -> None:
    wire = Wire(answer(400, error="Invalid", events_with_invalid_fields={"time": places}))
    with pytest.raises(BatchRefused):
        actions.send_events(opened(wire), users("user-0", "user-1"))


def test_who_sends_too_much_is_waited_for_and_the_others_are_not() -> None:
    wire = Wire(answer(429, throttled_events=[1], throttled_users={"user-1": 2_000}), answer(200), answer(200))
    outcomes = actions.send_events(opened(wire), users("user-0", "user-1", "user-2"))
    assert [outcome.status for outcome in outcomes] == [Status.WRITTEN] * 3
    assert wire.users() == [["user-0", "user-1", "user-2"], ["user-0", "user-2"], ["user-1"]]
    assert wire.waits == [30.0]


def test_who_goes_on_to_send_too_much_comes_with_the_next_run() -> None:
    wire = Wire(*[answer(429, throttled_events=[0])] * 4)
    (outcome,) = actions.send_events(opened(wire), users("user-1"))
    assert outcome.status is Status.RETRY
    assert len(wire.waits) == 3


def test_who_is_over_the_quota_of_a_day_is_not_waited_for() -> None:
    wire = Wire(answer(429, throttled_events=[0], exceeded_daily_quota_users={"user-0": 500_001}), answer(200))
    outcomes = actions.send_events(opened(wire), users("user-0", "user-1"))
    assert [outcome.status for outcome in outcomes] == [Status.RETRY, Status.WRITTEN]
    assert not wire.waits


def test_a_key_that_is_refused_with_400_is_no_matter_of_rows() -> None:
    with pytest.raises(AccessError) as caught:
        actions.send_events(opened(Wire(answer(400, error="Invalid API key: key"))), users("user-0"))
    assert "Invalid API key: key" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"), [(413, BatchRefused), (429, RetryableError), (503, UnavailableError), (403, AccessError)]
)
def test_a_call_that_fails_as_a_whole(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        actions.send_events(opened(Wire(answer(status))), users("user-0", "user-1"))


@pytest.mark.parametrize(
    ("settings", "address", "analytics"),
    [
        ({}, "https://api2.amplitude.com/batch", "https://amplitude.com/"),
        ({"region": "eu"}, "https://api.eu.amplitude.com/batch", "https://analytics.eu.amplitude.com/"),
    ],
)
def test_events_and_cohorts_go_to_the_region(settings: dict[str, Any], address: str, analytics: str) -> None:
    wire = Wire(answer(200), answer(200, memberships_result=[{"skipped_ids": []}]))
    found = opened(wire, **settings)
    actions.send_events(found, users("user-0"))
    actions.send_members(found, [sending("cohort", cohort_id="c", user_id="u")])
    assert wire.urls == [address, f"{analytics}api/3/cohorts/membership"]


@pytest.mark.parametrize(
    ("op", "operation", "second"), [(Op.ADDED, "ADD", Status.REJECTED), (Op.DELETED, "REMOVE", Status.WRITTEN)]
)
def test_members_come_and_go(op: Op, operation: str, second: Status) -> None:
    wire = Wire(answer(200, memberships_result=[{"skipped_ids": [6], "operation": operation}]))
    batch = [sending("cohort", op, cohort_id="c", amplitude_id=number) for number in (5, 6)]
    outcomes = actions.send_members(opened(wire), batch)
    assert [outcome.status for outcome in outcomes] == [Status.WRITTEN, second]
    assert json.loads(wire.bodies[0]) == {
        "cohort_id": "c",
        "skip_invalid_ids": True,
        "memberships": [{"ids": ["5", "6"], "id_type": "BY_AMP_ID", "operation": operation}],
    }


def test_members_of_two_cohorts_or_ways_share_no_call() -> None:
    kinds = {
        actions.COHORT.group(record("cohort", op, cohort_id=cohort, **{field: "5"}))
        for op in (Op.ADDED, Op.DELETED)
        for cohort in ("c", "d")
        for field in ("user_id", "amplitude_id")
    }
    assert len(kinds) == 8


def test_an_answer_that_tells_of_no_member_counts_for_none() -> None:
    with pytest.raises(UnavailableError):
        actions.send_members(opened(Wire(answer(200))), [sending("cohort", cohort_id="c", user_id="u")])


def test_a_cohort_that_there_is_not_and_a_key_that_is_missing_are_told() -> None:
    member = [sending("cohort", cohort_id="c", user_id="u")]
    with pytest.raises(ConfigError, match="no such cohort"):
        actions.send_members(opened(Wire(answer(404))), member)
    with pytest.raises(ConfigError, match="secret key"):
        actions.send_members(opened(Wire(), secret=False), member)


@pytest.mark.parametrize(("status", "said"), [(200, "takes the API key"), (400, "does not refuse the API key")])
def test_without_the_secret_key_the_other_is_tried_on_nobody(status: int, said: str) -> None:
    wire = Wire(answer(status, error="missing_event"))
    assert said in opened(wire, secret=False).test()
    assert dict(urllib.parse.parse_qsl(wire.bodies[0].decode())) == {"api_key": "key", "identification": "[]"}


def test_who_stops_while_amplitude_is_left_in_peace_has_told_of_the_events_that_it_took() -> None:
    wire = Wire(
        answer(429, code=429, throttled_events=[1], throttled_users={"user-1": 31}),
        answer(200, code=200),
    )

    def stop(_: float) -> None:
        raise Cancelled

    told: dict[str, Outcome] = {}
    opened_client = opened(wire)
    opened_client.sleep = stop
    records = [
        by_hand.record(actions.TRACK, {"event_type": "Paid", "user_id": f"user-{n}"}, key=str(n)) for n in range(3)
    ]
    line = lines.unpaced(opened_client, actions.TRACK, stop)
    with pytest.raises(Cancelled):
        deliver.deliver(line, records, lambda found: told.update((one.row_key, outcome) for one, outcome in found))
    assert told == {"0": WRITTEN, "2": WRITTEN}
