"""Klaviyo: what is sent is what its OpenAPI file asks for, and errors are matched to their rows."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.contract.api import Reply
from tests.contract.apis.klaviyo import KlaviyoApi
from tests.unit.destinations.delivery import delivered, record

from tidemill.destinations.klaviyo import actions, client
from tidemill.destinations.port import BatchRefused, Mode, Op, Record, Status

OPENAPI = json.loads((Path(__file__).parents[2] / "data/openapi/klaviyo.json").read_text())


@pytest.fixture
def api() -> Iterator[KlaviyoApi]:
    with contextlib.closing(KlaviyoApi()) as found:
        yield found


def profile(number: int, **fields: Any) -> Record:
    return record("klaviyo", "profiles", {"email": f"p{number}@example.com", **fields}, key=number)


def event(number: int, **fields: Any) -> Record:
    return record("klaviyo", "events", {"email": f"p{number}@example.com", "metric": "Ordered", **fields}, key=number)


def strict(schema: Any) -> Any:
    """The schema, by which nothing may be there that it does not name: Klaviyo refuses such."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made["additionalProperties"] = False
    return made


def test_what_is_sent_is_valid_by_klaviyos_own_description(api: KlaviyoApi) -> None:
    everything = {
        "phone_number": "+4930123456",
        "external_id": "u1",
        "first_name": "Ana",
        "last_name": "B",
        "organization": "Acme",
        "title": "Engineer",
        "image": "https://example.com/a.png",
        "locale": "de-DE",
        "location": {"city": "Berlin", "latitude": 52.5},
        "properties": {"plan": "pro", "since": None},
    }
    delivered(api, "profiles", [profile(1, **everything, list_id="Y6nRLr"), profile(2, list_id="Y6nRLr")])
    some = {"time": "2026-01-02T03:04:05", "value": "9.90", "value_currency": "EUR", "properties": {"vip": True}}
    delivered(api, "events", [event(1, **some, event_properties={"sku": "x"}, anonymous_id="a"), event(2)])
    delivered(
        api,
        "delete_profiles",
        [record("klaviyo", "delete_profiles", {"email": "p1@example.com"}, op=Op.DELETED, mode=Mode.DELETE)],
    )
    sent = [asked for asked in api.asked if asked.method == "POST"]
    assert {asked.path for asked in sent} == set(OPENAPI["paths"])
    for asked in sent:
        jsonschema.Draft4Validator(strict(OPENAPI["paths"][asked.path])).validate(asked.json())
        assert asked.headers["revision"] == client.REVISION
        assert asked.headers["content-type"] == "application/vnd.api+json"
    assert api.lists["Y6nRLr"] == {"p1@example.com", "p2@example.com"}


def test_profiles_that_an_import_refuses_are_found_by_their_number(api: KlaviyoApi) -> None:
    rows = [profile(n, **({"phone_number": "12"} if n % 3 == 0 else {})) for n in range(20)]
    told = delivered(api, "profiles", rows)
    assert {key for key, outcome in told.items() if outcome.status is Status.REJECTED} == {
        str(n) for n in range(0, 20, 3)
    }
    assert told["0"].message == "phone_number: Invalid phone number format"
    assert len(api.jobs) == 1


def test_an_import_that_does_not_say_which_profile_it_refused_is_halved(api: KlaviyoApi) -> None:
    api.silent = True
    told = delivered(api, "profiles", [profile(n, **({"phone_number": "12"} if n == 5 else {})) for n in range(8)])
    assert {key for key, outcome in told.items() if outcome.status is Status.REJECTED} == {"5"}


def test_an_error_may_repeat_the_profile_instead_of_pointing_to_it() -> None:
    error = {"detail": "no", "source": {"pointer": "/data"}, "original_payload": {"email": "p1@example.com"}}
    found = actions.refusals([error], 1, [profile(0), profile(1)])
    assert list(found) == [1]
    with pytest.raises(BatchRefused):
        actions.refusals([error], 2, [profile(0), profile(1), profile(2)])  # another one failed, and which is not said


def test_a_job_whose_end_could_not_be_seen_is_looked_at_again_not_made_again(
    api: KlaviyoApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "delivers", lambda asked: asked.method == "GET")
    api.faults = [Reply(503, {}), Reply(429, {}, {"Retry-After": "3"})]
    told = delivered(api, "profiles", [profile(n) for n in range(3)])
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert len(api.jobs) == 1


def test_events_that_a_call_is_refused_for_are_taken_out_and_the_others_sent(api: KlaviyoApi) -> None:
    told = delivered(api, "events", [event(n, **({"phone_number": "12"} if n in {2, 7} else {})) for n in range(10)])
    assert {key for key, outcome in told.items() if outcome.status is Status.REJECTED} == {"2", "7"}
    assert len(api.events) == 8
    assert len(api.asked) == 3


def test_an_events_id_is_the_rows_unless_one_is_mapped() -> None:
    own = event(1)
    attributes = json.loads(actions.encode_event(own))["attributes"]["events"]["data"][0]["attributes"]
    assert attributes["unique_id"] == own.identity
    mapped = json.loads(actions.encode_event(event(1, unique_id="o-1")))
    assert mapped["attributes"]["events"]["data"][0]["attributes"]["unique_id"] == "o-1"


@pytest.mark.parametrize(
    "fields",
    [
        {"email": None},
        {"event_properties": {str(n): n for n in range(301)}},
        {"time": "1999-12-31T23:59:59Z"},
        {"time": (dt.datetime.now(dt.UTC) + dt.timedelta(days=400)).isoformat()},
    ],
)
def test_an_event_that_klaviyo_would_drop_in_silence_is_set_aside(api: KlaviyoApi, fields: dict[str, Any]) -> None:
    told = delivered(api, "events", [event(1, **fields)])
    assert told["1"].status is Status.REJECTED
    assert not api.asked
    edge = event(2, event_properties={str(n): n for n in range(300)}, time="2000-01-01T00:00:00Z")
    assert actions.check_event(edge) is None


def test_profiles_of_different_lists_go_by_different_jobs_and_one_profile_is_once_in_a_job(api: KlaviyoApi) -> None:
    rows = [profile(1, list_id="A"), profile(2, list_id="B"), Record("3", "other", *_rest(profile(1, list_id="A")))]
    delivered(api, "profiles", rows)
    assert sorted(len(job["profiles"]) for job in api.jobs) == [1, 1, 1]


def _rest(one: Record) -> tuple[Any, ...]:
    return one.op, one.mode, one.fields


def test_a_profile_is_deleted_by_one_id_only() -> None:
    both = {"id": "01ABC", "email": "p1@example.com"}
    made = record("klaviyo", "delete_profiles", both, op=Op.DELETED, mode=Mode.DELETE)
    found = json.loads(actions.encode_deletion(made))["data"]["attributes"]["profile"]["data"]
    assert found == {"type": "profile", "attributes": {}, "id": "01ABC"}


def test_a_profile_is_put_on_a_list_and_taken_off_again_by_whatever_it_is_known_by(api: KlaviyoApi) -> None:
    api.profiles["a@example.com"] = {"email": "a@example.com", "external_id": "u1"}
    made = {"list_id": "Y6nRLr", "external_id": "u1"}
    delivered(api, "list", [record("klaviyo", "list", made)])
    assert api.lists["Y6nRLr"] == {"a@example.com"}
    gone = [
        record("klaviyo", "list", {"list_id": "Y6nRLr", **who}, op=Op.DELETED, mode=Mode.MIRROR, key=number)
        for number, who in enumerate(({"id": "01a@example.com"}, {"external_id": "nobody"}))
    ]
    told = delivered(api, "list", gone)
    assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
    assert not api.lists["Y6nRLr"]


def test_a_look_up_of_long_values_keeps_to_what_an_address_may_hold(api: KlaviyoApi) -> None:
    rows = [
        record("klaviyo", "list", {"list_id": "Y6nRLr", "external_id": f"{n}ü" * 40}, key=n) for n in range(100, 180)
    ]
    told = delivered(api, "list", rows)
    assert {outcome.status for outcome in told.values()} == {Status.REJECTED}
    asked = [len(urllib.parse.quote(one.query["filter"])) for one in api.asked if one.path == "/api/profiles"]
    assert len(asked) > 1
    assert all(size < 8_000 for size in asked)
