"""Salesforce: jobs that are begun once, whatever is lost; and what their results say of each row."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.contract.api import Reply
from tests.contract.apis.salesforce import SECRET, SalesforceApi
from tests.unit.destinations.delivery import delivered, record

from tidemill.destinations.port import Mode, Op, Outlet, Record, Status
from tidemill.destinations.salesforce import actions
from tidemill.destinations.salesforce.config import SALESFORCE, SalesforceSettings
from tidemill.errors import Cancelled, ConfigError
from tidemill.outbound.client import Http, Seen
from tidemill.outbound.guard import Guard


@pytest.fixture
def api() -> Iterator[SalesforceApi]:
    with contextlib.closing(SalesforceApi()) as found:
        yield found


def row(number: int, **of: Any) -> Record:
    made = {"object": "Contact", "external_id_field": "Ext__c", "external_id": f"u{number}"}
    fields = of.pop("fields", {"LastName": f"P{number}"})
    return record("salesforce", "records", {**made, "fields": fields, **of.pop("made", {})}, key=number, **of)


def statuses(told: dict[str, Any]) -> set[Status]:
    return {outcome.status for outcome in told.values()}


def test_a_line_quotes_what_csv_needs_and_clears_what_is_null() -> None:
    fields = {"C": 'a "b", c', "A": None, "B": "", "D": ["x", "y"], "E": False, "F": 1.5, "Ext__c": "u1", "Id": "003"}
    one = row(1, fields=fields)
    assert actions.columns(one) == ("A", "B", "C", "D", "E", "F")
    assert actions.encode(one) == b'#N/A,#N/A,"a ""b"", c",x;y,false,1.5'


@pytest.mark.parametrize("mode", [Mode.UPSERT, Mode.INSERT])
@pytest.mark.parametrize("lost", range(1, 10))
@pytest.mark.parametrize("fault", [Reply(cut=True, after=True), Reply(503, {}, after=True)])
def test_whichever_answer_is_lost_each_row_is_there_once(
    api: SalesforceApi, monkeypatch: pytest.MonkeyPatch, mode: Mode, lost: int, fault: Reply
) -> None:
    seen = 0

    def delivers(_: Any) -> bool:
        nonlocal seen
        seen += 1
        return seen == lost

    monkeypatch.setattr(api, "delivers", delivers)
    api.faults = [fault]
    told = delivered(api, "records", [row(n, mode=mode) for n in range(20)])
    assert statuses(told) == {Status.WRITTEN}
    assert sorted(api.taken("records")) == sorted(f"u{n}" for n in range(20))
    begun = [job for job in api.jobs.values() if job["state"] == "JobComplete"]
    assert len(begun) == 1


def test_what_a_job_took_before_its_process_ended_is_known_again(api: SalesforceApi) -> None:
    rows = [row(n, mode=Mode.INSERT) for n in range(6)]
    api.slow = 1_000
    with pytest.raises(Cancelled):
        delivered(api, "records", rows[:4], ends_after(3))
    api.slow = 2
    api.records["9"] = {"Ext__c": "u5", "LastName": "of somebody else"}
    told = delivered(api, "records", rows)
    assert {key for key, outcome in told.items() if outcome.status is Status.REJECTED} == {"5"}
    assert sorted(api.taken("records")) == [f"u{n}" for n in range(6)]
    assert api.records["9"]["LastName"] == "of somebody else"


def test_what_somebody_elses_job_took_is_not_ours(api: SalesforceApi) -> None:
    api.user = "005B"
    delivered(api, "records", [row(1, mode=Mode.INSERT)])
    api.user = "005A"
    assert delivered(api, "records", [row(1, mode=Mode.INSERT)])["1"].status is Status.REJECTED


def ends_after(number: int) -> Callable[[float], None]:
    left = [number]

    def sleep(_: float) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cancelled

    return sleep


def test_rows_are_not_inserted_by_an_id_that_could_be_there_twice(api: SalesforceApi) -> None:
    api.unique = False
    with pytest.raises(ConfigError, match="not unique"):
        delivered(api, "records", [row(1, mode=Mode.INSERT)])
    assert not api.jobs


def test_rows_are_changed_and_deleted_by_an_id_that_is_looked_up(api: SalesforceApi) -> None:
    api.records["0031"] = {"Ext__c": "u1", "LastName": "Old"}
    told = delivered(api, "records", [row(n, mode=Mode.UPDATE, op=Op.UPDATED) for n in (1, 2)])
    assert [told["1"].status, told["2"].status] == [Status.WRITTEN, Status.REJECTED]
    assert api.records["0031"]["LastName"] == "P1"
    told = delivered(api, "records", [row(n, mode=Mode.MIRROR, op=Op.DELETED) for n in (1, 2)])
    assert statuses(told) == {Status.WRITTEN}  # what is not there is gone
    assert not api.records


def test_rows_are_deleted_by_salesforces_id_and_one_that_is_gone_is_done(api: SalesforceApi) -> None:
    api.records["0031"] = {"Ext__c": "x"}
    gone = [
        record("salesforce", "records", {"object": "Contact", "id": key}, op=Op.DELETED, mode=Mode.DELETE, key=key)
        for key in ("0031", "0032")
    ]
    assert statuses(delivered(api, "records", gone)) == {Status.WRITTEN}
    assert not api.records


def test_rows_of_different_columns_go_by_different_jobs_and_a_wrong_one_harms_no_other(api: SalesforceApi) -> None:
    wrong = row(2, fields={"Nickname__c": "x"})
    told = delivered(api, "records", [row(1), wrong, row(3)])
    assert told["2"].status is Status.REJECTED
    assert "Nickname__c" in told["2"].message
    assert sorted(api.taken("records")) == ["u1", "u3"]
    assert len(api.jobs) == 2


def test_rows_that_were_locked_or_not_come_to_come_again(api: SalesforceApi) -> None:
    api.locked = {"u1"}
    assert delivered(api, "records", [row(1)])["1"].status is Status.RETRY
    api.locked, api.stops = set(), True
    told = delivered(api, "records", [row(n) for n in range(10)])
    assert sum(outcome.status is Status.RETRY for outcome in told.values()) == 5
    assert len(api.taken("records")) == 5


def test_an_object_that_is_not_there_stops_the_run(api: SalesforceApi) -> None:
    with pytest.raises(ConfigError, match="Plan__c"):
        delivered(api, "records", [row(1, made={"object": "Plan__c"})])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"object": "Contact WHERE"}, "no API name"),
        ({"external_id_field": "A'B"}, "no API name"),
        ({"fields": {"Name,Id": 1}}, "no API name"),
        ({"external_id": None}, "missing"),
    ],
)
def test_what_is_no_name_or_has_no_id_is_not_sent(api: SalesforceApi, made: dict[str, Any], says: str) -> None:
    told = delivered(api, "records", [row(1, made=made)])
    assert told["1"].status is Status.REJECTED
    assert says in told["1"].message
    assert not api.asked


def test_a_session_that_has_ended_is_begun_again(api: SalesforceApi) -> None:
    def sleep(_: float) -> None:
        api.ended = api.signed_in  # while the job is waited for

    api.slow = 3
    told = delivered(api, "records", [row(1)], sleep)
    assert statuses(told) == {Status.WRITTEN}
    assert api.signed_in > 1


def test_signing_in_is_shown_to_nobody(api: SalesforceApi) -> None:
    seen: list[Seen] = []
    http = Http(Guard(["127.0.0.1"]))
    http.observe = seen.append
    settings = SALESFORCE.settings(**api.settings())
    with contextlib.closing(http), SALESFORCE.open(settings, Outlet(http, lambda _: None)) as client:
        assert "99,000 calls are left" in client.test()
    assert [one.url.rpartition("/")[2] for one in seen] == ["limits"]


def test_a_days_limit_lets_rows_wait_for_a_later_run(api: SalesforceApi) -> None:
    api.faults = [Reply(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}])]
    (outcome,) = delivered(api, "records", [row(1)]).values()
    assert outcome.status is Status.RETRY
    assert (outcome.after or 0) > 300


def test_settings_need_a_credential_and_hide_it() -> None:
    with pytest.raises(ConfigError):
        SalesforceSettings(instance_url="https://acme.my.salesforce.com")
    found = SalesforceSettings(
        instance_url="https://acme.my.salesforce.com/", client_id="key", client_secret=SecretStr(SECRET)
    )
    assert found.account == "acme.my.salesforce.com"
    assert SECRET not in repr(found)
