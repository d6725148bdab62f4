"""What is CleverTap's own: records, dates, lengths, partial answers and the rows they name, deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tidemill.destinations import fields, registry
from tidemill.destinations.clevertap import actions, client, config
from tidemill.destinations.port import BatchRefused, Mode, Op, Outcome, Outlet, Record, Sending, Status
from tidemill.errors import AccessError, RetryableError
from tidemill.outbound.client import Answer

CLEVERTAP = registry.get("clevertap")


def record(action: str, op: Op = Op.ADDED, **mapped: Any) -> Record:
    found = fields.checker(CLEVERTAP.action(action))(mapped, op)
    assert not isinstance(found, Outcome), found
    return Record("1", "id-1", op, Mode.MIRROR, found)


def sending(action: str, op: Op = Op.ADDED, **mapped: Any) -> Sending:
    one = record(action, op, **mapped)
    return Sending(one, CLEVERTAP.action(action).encode(one))


def answer(code: int = 200, **said: Any) -> Answer:
    return Answer(code, {}, json.dumps(said).encode())


class Wire:
    """Stands for requests: gives these answers, one after the other."""

    def __init__(self, *given: Answer) -> None:
        self.given = list(given)
        self.asked: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}

    def request(self, _method: str, url: str, *, headers: dict[str, str], body: bytes | None) -> Answer:
        self.asked.append((url, json.loads(body) if body else None))
        self.headers = headers
        return self.given.pop(0)


def opened(wire: Wire, **settings: Any) -> client.ClevertapClient:
    found = config.ClevertapSettings(account_id="A-1", passcode=SecretStr("pass"), **settings)
    return client.ClevertapClient(found, Outlet(wire, lambda _: None))  # type: ignore[arg-type]


def uploaded(batch: list[Sending], processed: int, unprocessed: list[dict[str, Any]]) -> list[Outcome]:
    said: dict[str, Any] = {
        "status": "partial" if processed else "fail",
        "processed": processed,
        "unprocessed": unprocessed,
    }
    return list(actions.send_profiles(opened(Wire(answer(**said))), batch))


def people(*ids: str) -> list[Sending]:
    return [sending("profile", identity=one, Name="Ana") for one in ids]


@pytest.mark.parametrize(
    ("action", "mapped", "expected"),
    [
        (
            "profile",
            {
                "identity": 7,
                "profile_data": {"Name": "A", "Plan": "free"},
                "Plan": "pro",
                "dates": {"DOB": "1990-01-01"},
            },
            {"type": "profile", "identity": "7", "profileData": {"Name": "A", "Plan": "pro", "DOB": "$D_631152000"}},
        ),
        (
            "profile",
            {"object_id": "ct-1", "fbid": "f", "gpid": "g", "ts": "2024-01-01T00:00:01.9Z"},
            {"type": "profile", "objectId": "ct-1", "FBID": "f", "GPID": "g", "ts": 1_704_067_201, "profileData": {}},
        ),
        (
            "event",
            {
                "identity": "u",
                "event": "Charged",
                "event_data": {"Amount": 5},
                "Items": [{"a": 1}],
                "dates": {"Due": 0},
            },
            {
                "type": "event",
                "identity": "u",
                "evtName": "Charged",
                "evtData": {"Amount": 5, "Items": [{"a": 1}], "Due": "$D_0"},
            },
        ),
    ],
)
def test_a_row_becomes_a_record(action: str, mapped: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json.loads(sending(action, **mapped).body) == expected


@pytest.mark.parametrize(
    ("mapped", "words"),
    [
        ({"Name": "Ana"}, "No id"),
        ({"identity": "NULL"}, "nobody"),
        ({"identity": "u", "object_id": "0"}, "object_id"),
        ({"identity": "u", "City": "é" * 257}, "City has more than 512 bytes"),
        ({"identity": "u", "profile_data": {"City": "x" * 513}}, "City"),
        ({"identity": "u", "x" * 121: 1}, "more than 120 bytes"),
        ({"identity": "u", "Tags": ["t"] * 101}, "101 items"),
        ({"identity": "u", "Tags": ["x" * 513]}, "An item of Tags"),
        ({"identity": "u", "dates": {"DOB": "soon"}}, "DOB is no time"),
    ],
)
def test_what_clevertap_would_cut_or_drop_is_set_aside_here(mapped: dict[str, Any], words: str) -> None:
    wrong = actions.check(record("profile", **mapped))
    assert wrong is not None
    assert words in wrong.message


def test_what_is_just_short_enough_is_sent() -> None:
    just: dict[str, Any] = {"City": "é" * 256, "x" * 120: "y" * 512, "Tags": ["t" * 512] * 100, "dates": {"Left": None}}
    assert actions.check(record("profile", identity="i" * 1_024, **just)) is None


@pytest.mark.parametrize("region", ["in1", "eu1", "mec1"])
def test_records_go_to_the_region_with_the_passcode(region: str) -> None:
    wire = Wire(answer(status="success", processed=1, unprocessed=[]))
    actions.send_profiles(opened(wire, region=region), people("u"))
    assert wire.asked[0][0] == f"https://{region}.api.clevertap.com/1/upload"
    assert (wire.headers["X-CleverTap-Account-Id"], wire.headers["X-CleverTap-Passcode"]) == ("A-1", "pass")


def entry(number: int | None, code: int = 514, **record_: Any) -> dict[str, Any]:
    told = "ErrorCode: 514 - Gender invalid." + (f" Skipped record number : {number}" if number else "")
    return {"status": "fail", "code": code, "error": told, **({"record": record_} if record_ else {})}


@pytest.mark.parametrize(
    "named",
    [
        entry(2),
        entry(2, type="profile", identity="user-1", profileData={"Name": "changed"}),
        entry(None, type="profile", identity="user-1", profileData={"Name": "Ana"}),
        entry(None, type="profile", identity="user-1", profileData={"Name": "changed"}),
        # Counted from 0, or of another call: what came back says which it is.
        entry(1, type="profile", identity="user-1", profileData={"Name": "Ana"}),
        entry(99, type="profile", identity="user-1", profileData={"Name": "Ana"}),
    ],
)
def test_a_record_that_is_named_is_found_and_the_others_are_written(named: dict[str, Any]) -> None:
    outcomes = uploaded(people("user-0", "user-1", "user-2"), processed=2, unprocessed=[named])
    assert [outcome.status for outcome in outcomes] == [Status.WRITTEN, Status.REJECTED, Status.WRITTEN]
    assert outcomes[1].code == "clevertap_514"
    assert "Gender invalid" in outcomes[1].message


def test_two_records_that_are_alike_are_told_apart_by_their_number() -> None:
    batch = people("same", "same", "same")
    again_: dict[str, Any] = {"type": "profile", "identity": "same", "profileData": {"Name": "Ana"}}
    named = [entry(3, **again_), entry(1, **again_)]
    outcomes = uploaded(batch, processed=1, unprocessed=named)
    assert [outcome.status for outcome in outcomes] == [Status.REJECTED, Status.WRITTEN, Status.REJECTED]


def test_a_failure_of_the_server_is_no_fault_of_the_row() -> None:
    outcomes = uploaded(people("user-0", "user-1"), processed=1, unprocessed=[entry(1, code=555)])
    assert [outcome.status for outcome in outcomes] == [Status.RETRY, Status.WRITTEN]


def test_nothing_counts_as_written_that_was_not_taken() -> None:
    outcomes = uploaded(people("user-0", "user-1", "user-2"), processed=1, unprocessed=[entry(1), entry(None)])
    assert [outcome.status for outcome in outcomes] == [Status.REJECTED, Status.RETRY, Status.RETRY]
    assert outcomes[1].unsure
    outcomes = uploaded(people("user-0", "user-1"), processed=1, unprocessed=[])
    assert {outcome.status for outcome in outcomes} == {Status.RETRY}


@pytest.mark.parametrize(
    "said", [{"processed": 0, "unprocessed": []}, {"error": "Invalid JSON"}, {"processed": 0, "unprocessed": [{}]}]
)
def test_a_call_of_which_nothing_is_taken_and_nothing_named_is_refused_as_a_whole(said: dict[str, Any]) -> None:
    with pytest.raises(BatchRefused):
        actions.send_profiles(opened(Wire(answer(status="fail", **said))), people("user-0", "user-1"))


def test_the_only_row_of_a_call_is_the_one_that_is_meant() -> None:
    (outcome,) = uploaded(people("user-0"), processed=0, unprocessed=[entry(None)])
    assert outcome.code == "clevertap_514"


@pytest.mark.parametrize(("status", "error"), [(401, AccessError), (429, RetryableError), (400, BatchRefused)])
def test_a_call_that_fails_as_a_whole(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        actions.send_profiles(opened(Wire(answer(status))), people("user-0", "user-1"))


def test_profiles_are_deleted_a_hundred_at_a_time() -> None:
    wire = Wire(*[Answer(200, {}, b'{"status":"success"}')] * 3)
    batch = [sending("profile", Op.DELETED, identity=f"user-{number}") for number in range(201)]
    outcomes = actions.send_profiles(opened(wire), batch)
    assert [outcome.status for outcome in outcomes] == [Status.WRITTEN] * 201
    assert [len(body["identity"]) for _, body in wire.asked] == [100, 100, 1]
    assert {url for url, _ in wire.asked} == {"https://in1.api.clevertap.com/1/delete/profiles.json"}


def test_a_profile_that_cannot_be_deleted_holds_up_no_other() -> None:
    good, bad = Answer(200, {}, b'{"status":"success"}'), Answer(400, {}, b'{"status":"fail"}')
    wire = Wire(good, bad, bad, good)
    batch = [sending("profile", Op.DELETED, object_id=f"ct-{number}") for number in range(102)]
    outcomes = actions.send_profiles(opened(wire), batch)
    assert [place for place, outcome in enumerate(outcomes) if outcome.status is not Status.WRITTEN] == [100]
    assert [body["guid"] for _, body in wire.asked[1:]] == [["ct-100", "ct-101"], ["ct-100"], ["ct-101"]]


def test_a_deleted_row_needs_an_id_by_which_profiles_are_deleted() -> None:
    assert actions.check(record("profile", Op.DELETED, identity="user-1")) is None
    assert actions.check(record("profile", Op.DELETED, fbid="f")) is not None
    kinds = {
        actions.PROFILE.group(one)
        for one in (
            record("profile", identity="u"),
            record("profile", Op.DELETED, identity="u"),
            record("profile", Op.DELETED, object_id="o"),
        )
    }
    assert len(kinds) == 3


def test_the_passcode_is_tried_on_a_profile_that_need_not_be_there() -> None:
    for status in (200, 400, 404):
        wire = Wire(answer(status))
        assert "A-1" in opened(wire).test()
        assert wire.asked == [("https://in1.api.clevertap.com/1/profile.json?identity=tidemill", None)]
    with pytest.raises(AccessError):
        opened(Wire(answer(401))).test()
