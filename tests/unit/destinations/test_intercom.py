"""Intercom: a contact is found, or made, once; also when the search is late."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.contract.api import Reply
from tests.contract.apis.intercom import IntercomApi
from tests.unit.destinations.delivery import delivered, record

from tidemill.destinations import registry
from tidemill.destinations.intercom import actions
from tidemill.destinations.intercom.config import IntercomSettings
from tidemill.destinations.port import Mode, Op, Record, Status


@pytest.fixture
def api() -> Iterator[IntercomApi]:
    with contextlib.closing(IntercomApi()) as found:
        yield found


def row(number: int, **of: Any) -> Record:
    made = {"external_id": f"u{number}", "name": f"P{number}", **of.pop("made", {})}
    return record("intercom", "contacts", made, key=number, **of)


def test_a_contact_carries_its_times_as_seconds_and_not_what_is_ours() -> None:
    made = {"signed_up_at": "2026-01-02T00:00:00+01:00", "when_gone": "delete", "custom_attributes": {"plan": None}}
    assert json.loads(actions.encode(row(1, made=made))) == {
        "external_id": "u1",
        "name": "P1",
        "signed_up_at": 1767308400,
        "custom_attributes": {"plan": None},
    }


def test_a_contact_that_is_there_is_changed_and_another_made(api: IntercomApi) -> None:
    api.contacts["c1"] = {"external_id": "u1", "name": "Old", "phone": "+49"}
    told = delivered(api, "contacts", [row(1), row(2)])
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert api.contacts["c1"] == {"external_id": "u1", "name": "P1", "phone": "+49"}
    assert len(api.contacts) == 2


def test_a_contact_that_the_search_does_not_see_yet_is_changed_by_the_id_in_the_conflict(api: IntercomApi) -> None:
    api.contacts["c1"] = {"external_id": "u1", "name": "Old"}
    api.late = 1
    waits: list[float] = []
    assert delivered(api, "contacts", [row(1)], waits.append)["1"].status is Status.WRITTEN
    assert api.contacts == {"c1": {"external_id": "u1", "name": "P1"}}
    assert not waits


def test_a_conflict_that_names_nobody_is_tried_again_when_the_search_may_see_it(api: IntercomApi) -> None:
    api.contacts["c1"] = {"external_id": "u1", "name": "Old"}
    api.late, api.mute = 2, True
    waits: list[float] = []
    assert delivered(api, "contacts", [row(1)], waits.append)["1"].status is Status.WRITTEN
    assert api.contacts == {"c1": {"external_id": "u1", "name": "P1"}}
    assert [wait >= 10 for wait in waits] == [True, True]


def test_a_contact_that_is_archived_comes_back(api: IntercomApi) -> None:
    delivered(api, "contacts", [row(1)])
    delivered(api, "contacts", [row(1, op=Op.DELETED, mode=Mode.MIRROR)])
    assert len(api.archived) == 1
    told = delivered(api, "contacts", [row(1, made={"name": "Again"}, mode=Mode.MIRROR)])
    assert told["1"].status is Status.WRITTEN
    assert not api.archived
    assert [one["name"] for one in api.contacts.values()] == ["Again"]


def test_a_contact_is_deleted_for_good_if_it_is_wanted_and_one_that_is_not_there_is_gone(api: IntercomApi) -> None:
    api.contacts["c1"] = {"external_id": "u1"}
    gone = [row(n, op=Op.DELETED, mode=Mode.DELETE, made={"when_gone": "delete"}) for n in (1, 2)]
    told = delivered(api, "contacts", gone)
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert not api.contacts


def test_new_contacts_are_made_without_a_search_and_one_that_is_there_is_left_as_it_is(api: IntercomApi) -> None:
    api.contacts["c1"] = {"external_id": "u1", "name": "Old"}
    told = delivered(api, "contacts", [row(n, mode=Mode.INSERT) for n in (1, 2)])
    assert [told["1"].status, told["2"].status] == [Status.REJECTED, Status.WRITTEN]
    assert api.contacts["c1"]["name"] == "Old"
    assert not [asked for asked in api.asked if asked.path.endswith("search")]


def test_a_new_contact_whose_answer_was_lost_is_there_once(api: IntercomApi) -> None:
    api.faults = [Reply(cut=True, after=True)]
    assert delivered(api, "contacts", [row(1, mode=Mode.INSERT)])["1"].status is Status.WRITTEN
    assert len(api.contacts) == 1


def test_a_contact_that_is_there_as_its_row_would_make_it_is_written(api: IntercomApi) -> None:
    new = row(1, mode=Mode.INSERT, made={"custom_attributes": {"plan": "pro"}})
    delivered(api, "contacts", [new])
    assert delivered(api, "contacts", [new])["1"].status is Status.WRITTEN  # by a process that knows of nothing
    assert len(api.contacts) == 1


def test_an_update_of_nobody_and_one_of_several_are_refused(api: IntercomApi) -> None:
    api.contacts |= {key: {"email": "ana@example.com"} for key in ("c1", "c2")}
    shared = row(2, made={"external_id": None, "email": "ana@example.com"})
    told = delivered(api, "contacts", [row(1, mode=Mode.UPDATE, op=Op.UPDATED), shared])
    assert {outcome.status for outcome in told.values()} == {Status.REJECTED}
    assert "Several" in told["2"].message


def test_a_custom_attribute_that_does_not_exist_is_told_of_in_intercoms_words(api: IntercomApi) -> None:
    told = delivered(api, "contacts", [row(1, made={"custom_attributes": {"shoe": 43}})])
    assert told["1"].message == "Custom attribute 'shoe' does not exist"


def test_who_has_no_id_is_not_sent(api: IntercomApi) -> None:
    told = delivered(api, "contacts", [row(1, made={"external_id": None})])
    assert told["1"].status is Status.REJECTED
    assert not api.asked


def test_it_is_waited_until_the_window_is_over(api: IntercomApi) -> None:
    waits: list[float] = []
    api.faults = [Reply(429, {}, {"X-RateLimit-Reset": str(int(time.time()) + 3_000)})]
    delivered(api, "contacts", [row(1)], waits.append)
    assert waits == [60.0]  # no window is longer, whatever the clocks say


def test_each_region_has_its_host_and_requests_are_paced_by_its_windows() -> None:
    token = SecretStr("x")
    assert IntercomSettings(token=token).base == "https://api.intercom.io"
    assert IntercomSettings(token=token, region="eu").base == "https://api.eu.intercom.io"
    assert IntercomSettings(token=token, region="au").base == "https://api.au.intercom.io"
    pace = registry.get("intercom").pace(IntercomSettings(token=token, calls_per_minute=1_000))
    assert (pace.calls, pace.seconds) == (166, 10.0)
