"""HubSpot: what an object looks like on its way, and what becomes of each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.contract.api import Reply
from tests.contract.apis.hubspot import HubSpotApi
from tests.unit.destinations.delivery import delivered, record

from tidemill.destinations.hubspot import actions
from tidemill.destinations.port import BatchRefused, Mode, Op, Outcome, Record, Status


@pytest.fixture
def api() -> Iterator[HubSpotApi]:
    with contextlib.closing(HubSpotApi()) as found:
        yield found


def statuses(told: dict[str, Outcome]) -> set[Status]:
    return {outcome.status for outcome in told.values()}


def row(number: int, **of: Any) -> Record:
    made = {"object_type": "contacts", "id_property": "email", "id": f"p{number}@example.com"}
    properties = of.pop("properties", {"firstname": f"P{number}"})
    return record("hubspot", "objects", {**made, "properties": properties, **of.pop("made", {})}, key=number, **of)


def encoded(one: Record) -> Any:
    return msgspec.json.decode(actions.encode_object(one))


def test_an_input_names_its_property_and_carries_the_rows_identity() -> None:
    one = row(1, properties={"firstname": "Ana", "plan": None, "tags": ["a", "b"], "vip": True, "n": 3})
    assert encoded(one) == {
        "objectWriteTraceId": one.identity,
        "idProperty": "email",
        "id": "p1@example.com",
        "properties": {"firstname": "Ana", "plan": "", "tags": "a;b", "vip": "true", "n": 3},
    }


def test_hubspots_own_id_is_no_property_and_can_only_be_updated() -> None:
    own = row(1, made={"id": "501", "id_property": "hs_object_id"})
    assert "idProperty" not in encoded(own)
    assert actions.verb(own) == "update"
    new = row(1, mode=Mode.INSERT, made={"id": "501", "id_property": "hs_object_id"})
    refused = actions.check_object(new)
    assert refused is not None
    assert refused.status is Status.REJECTED


def test_new_objects_are_created_and_one_that_is_there_is_left_as_it_is(api: HubSpotApi) -> None:
    api.objects["9"] = {"email": "p1@example.com", "firstname": "Old"}
    told = delivered(api, "objects", [row(1, mode=Mode.INSERT), row(2, mode=Mode.INSERT)])
    assert told["1"].status is Status.REJECTED
    assert "already exists" in told["1"].message
    assert told["2"].status is Status.WRITTEN
    assert api.objects["9"]["firstname"] == "Old"


def test_a_creation_whose_answer_was_lost_is_not_made_twice_nor_refused(api: HubSpotApi) -> None:
    api.faults = [Reply(cut=True, after=True)]
    told = delivered(api, "objects", [row(n, mode=Mode.INSERT) for n in range(3)])
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert len(api.objects) == 3


def test_an_object_that_is_there_as_its_row_would_make_it_is_written(api: HubSpotApi) -> None:
    new = [row(n, mode=Mode.INSERT, properties={"firstname": f"P{n}", "plan": None}) for n in range(3)]
    delivered(api, "objects", new[:2])
    told = delivered(api, "objects", new)  # by a process that does not know of the first
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert len(api.objects) == 3


def test_a_conflict_of_a_whole_call_is_of_the_object_that_is_there(api: HubSpotApi) -> None:
    api.faults = [Reply(409, {"status": "error", "category": "CONFLICT", "message": "Contact already exists."})] * 2
    api.objects["9"] = {"email": "p0@example.com", "firstname": "Old"}
    told = delivered(api, "objects", [row(n, mode=Mode.INSERT) for n in range(2)])
    assert [told["0"].status, told["1"].status] == [Status.REJECTED, Status.WRITTEN]


def test_an_update_of_what_is_not_there_is_refused(api: HubSpotApi) -> None:
    api.objects["9"] = {"email": "p1@example.com"}
    told = delivered(api, "objects", [row(n, mode=Mode.UPDATE, op=Op.UPDATED) for n in (1, 2)])
    assert told["1"].status is Status.WRITTEN
    assert told["2"].status is Status.REJECTED


def test_rows_that_are_gone_are_archived_by_their_property(api: HubSpotApi) -> None:
    api.objects["9"] = {"email": "p1@example.com"}
    gone = [row(n, mode=Mode.MIRROR, op=Op.DELETED) for n in (1, 2)]
    told = delivered(api, "objects", gone)
    assert api.archived == ["9"]
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}


def test_one_object_is_not_twice_in_a_batch(api: HubSpotApi) -> None:
    first, second = row(1), row(1, properties={"firstname": "Later"})
    again = Record("2", "other", second.op, second.mode, {**second.fields, "id": "P1@Example.com"})
    told = delivered(api, "objects", [first, again])
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert [len(asked.json()["inputs"]) for asked in api.asked] == [1, 1]


def test_a_good_answer_without_results_is_no_delivery() -> None:
    (found,) = actions.outcomes({"status": "COMPLETE", "results": [], "numErrors": 1}, [row(1)])
    assert found.status is Status.RETRY
    with pytest.raises(BatchRefused, match="no such property"):
        actions.outcomes({"results": [], "errors": [{"message": "no such property"}]}, [row(1), row(2)])


def test_an_error_that_may_pass_is_no_refusal() -> None:
    one = row(1)
    error = {"category": "RATE_LIMITS", "message": "slow", "context": {"objectWriteTraceId": [one.identity]}}
    found: list[Outcome] = actions.outcomes({"results": [], "errors": [error]}, [one])
    assert found[0].status is Status.RETRY


def test_how_long_is_waited_is_the_limits_window_if_it_is_not_said(api: HubSpotApi) -> None:
    waits: list[float] = []
    api.faults = [Reply(429, {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"})]
    delivered(api, "objects", [row(1)], waits.append)
    assert waits == [10.0]
    waits.clear()
    api.faults = [Reply(429, {"errorType": "RATE_LIMIT", "policyName": "DAILY"})]
    told = delivered(api, "objects", [row(2)], waits.append)
    assert told["2"].status is Status.RETRY  # of a day's limit, nobody waits for the end
    assert not waits


@pytest.mark.parametrize(("after", "waited"), [("7200", []), ("20", [20.0])])
def test_an_account_that_is_moved_to_another_place_is_waited_for(
    api: HubSpotApi, after: str, waited: list[float]
) -> None:
    waits: list[float] = []
    api.faults = [Reply(477, {"status": "error", "message": "Migration in progress"}, {"Retry-After": after})]
    told = delivered(api, "objects", [row(n) for n in range(3)], waits.append)
    assert statuses(told) == {Status.WRITTEN if waited else Status.RETRY}
    assert waits == waited


def test_members_are_found_by_email_and_taken_off_again(api: HubSpotApi) -> None:
    api.objects["9"] = {"email": "ana@example.com"}
    made = {"list_id": 77, "id_property": "email", "id": "Ana@example.com"}
    delivered(api, "list", [record("hubspot", "list", made)])
    assert api.members == ["9"]
    told = delivered(api, "list", [record("hubspot", "list", made, op=Op.DELETED, mode=Mode.MIRROR)])
    assert not api.members
    assert told["1"].status is Status.WRITTEN


def test_records_are_put_on_a_list_by_hubspots_ids_without_a_look_up(api: HubSpotApi) -> None:
    api.objects["9"] = {"email": "ana@example.com"}
    told = delivered(api, "list", [record("hubspot", "list", {"list_id": 77, "id": n}, key=n) for n in ("9", "10")])
    assert [asked.method for asked in api.asked] == ["PUT"]
    assert told["9"].status is Status.WRITTEN
    assert told["10"].status is Status.REJECTED
