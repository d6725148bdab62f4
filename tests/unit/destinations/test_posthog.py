"""What is PostHog's own: the shape of events, ids that are nobody's, keys, quotas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tidemill.destinations import fields, registry
from tidemill.destinations.port import Mode, Op, Outcome, Outlet, Record, Sending, Status
from tidemill.destinations.posthog import actions, client, config
from tidemill.errors import AccessError, ConfigError
from tidemill.outbound.client import Answer

POSTHOG = registry.get("posthog")
KEY = SecretStr("phc_key")
LIB = {"$geoip_disable": True, "$lib": "tidemill"}


def checked(action: str, **mapped: Any) -> dict[str, Any] | Outcome:
    return fields.checker(POSTHOG.action(action))(mapped, Op.ADDED)


def record(action: str, op: Op = Op.ADDED, **mapped: Any) -> Record:
    found = fields.checker(POSTHOG.action(action))(mapped, op)
    assert not isinstance(found, Outcome), found
    return Record("1", "id-1", op, Mode.MIRROR, found)


class Wire:
    """Stands for requests: flags are answered with one, batches with the other."""

    def __init__(self, flags: Answer, batch: Answer | None = None) -> None:
        self.flags, self.batch = flags, batch or Answer(200, {}, b'{"status":"Ok"}')
        self.urls: list[str] = []
        self.bodies: list[Any] = []
        self.signed: str | None = None

    def request(self, _method: str, url: str, *, body: bytes | None, headers: dict[str, str]) -> Answer:
        self.urls.append(url)
        self.bodies.append(json.loads(body) if body else None)
        self.signed = headers.get("Authorization")
        return self.flags if "/flags/" in url else self.batch


def opened(wire: Wire, **settings: Any) -> client.PosthogClient:
    found = config.PosthogSettings(project_key=KEY, **settings)
    return client.PosthogClient(found, Outlet(wire, lambda _: None))  # type: ignore[arg-type]


KNOWN = Answer(200, {}, b'{"flags":{}}')
NONE = Answer(404, {}, b"")


@pytest.mark.parametrize(
    ("action", "mapped", "event", "properties"),
    [
        (
            "capture",
            {"event": "paid", "properties": {"a": 1, "b": 1}, "b": 2, "groups": {"company": "acme"}},
            "paid",
            {"a": 1, "b": 2, "$groups": {"company": "acme"}, **LIB},
        ),
        (
            "capture",
            {"event": "paid", "person_profile": False, "$ip": "1.2.3.4"},
            "paid",
            {"$ip": "1.2.3.4", "$process_person_profile": False, "$lib": "tidemill"},
        ),
        (
            "identify",
            {"plan": "pro", "set_once": {"first": 1}, "unset": "old"},
            "$set",
            {"$set": {"plan": "pro"}, "$set_once": {"first": 1}, "$unset": ["old"], **LIB},
        ),
        ("identify", {"anonymous_id": "anon-1"}, "$identify", {"$set": {}, "$anon_distinct_id": "anon-1", **LIB}),
        (
            "group",
            {"group_type": "company", "group_key": 5, "seats": 9},
            "$groupidentify",
            {"$group_type": "company", "$group_key": "5", "$group_set": {"seats": 9}, **LIB},
        ),
        ("alias", {"alias": "b"}, "$create_alias", {"alias": "b", **LIB}),
    ],
)
def test_a_row_becomes_an_event(action: str, mapped: dict[str, Any], event: str, properties: dict[str, Any]) -> None:
    found = json.loads(
        POSTHOG.action(action).encode(record(action, distinct_id="u", timestamp="2024-05-06T00:00:00", **mapped))
    )
    assert found == {
        "uuid": "id-1",
        "event": event,
        "distinct_id": "u",
        "timestamp": "2024-05-06T00:00:00+00:00",
        "properties": properties,
    }


def test_a_group_needs_nobody() -> None:
    found = json.loads(actions.GROUP.encode(record("group", group_type="company", group_key="acme")))
    assert found["distinct_id"] == "$company_acme"
    assert "timestamp" not in found


@pytest.mark.parametrize("value", ["null", "undefined", "Anonymous", "0", "  ", "'guest'", '"None"', "[object Object]"])
def test_an_id_that_is_nobodys_is_set_aside_here(value: str) -> None:
    for name in ("distinct_id", "anonymous_id"):
        ids: dict[str, Any] = {"distinct_id": "u", name: value}
        wrong = actions.somebody(record("identify", **ids))
        assert wrong is not None
        assert name in wrong.message
    assert actions.somebody(record("identify", distinct_id="00")) is None


def test_an_id_that_would_be_cut_is_set_aside_here() -> None:
    assert not isinstance(checked("identify", distinct_id="x" * 200), Outcome)
    assert isinstance(checked("identify", distinct_id="x" * 201), Outcome)


@pytest.mark.parametrize("missing", [{}, {"event": ""}, {"event": None}])
def test_an_event_without_a_name_is_set_aside_here(missing: dict[str, Any]) -> None:
    assert isinstance(checked("capture", distinct_id="u", **missing), Outcome)


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "https://us.i.posthog.com"),
        ({"region": "eu"}, "https://eu.i.posthog.com"),
        ({"endpoint": "https://posthog.example/"}, "https://posthog.example"),
    ],
)
def test_events_go_to_the_region_or_the_server(settings: dict[str, Any], address: str) -> None:
    wire = Wire(KNOWN)
    found = opened(wire, historical=True, **settings)
    found.post(b'{"a":1},{"a":2}')
    found.post(b"{}")
    assert wire.urls == [f"{address}/flags/?v=2", f"{address}/batch/", f"{address}/batch/"]
    assert wire.bodies[1] == {"api_key": "phc_key", "historical_migration": True, "batch": [{"a": 1}, {"a": 2}]}


def test_a_key_of_no_project_is_told_before_anything_is_sent() -> None:
    wire = Wire(Answer(401, {}, b'{"code":"invalid_api_key","detail":"Project API key invalid."}'))
    with pytest.raises(AccessError, match="knows no project"):
        opened(wire).post(b"{}")
    assert len(wire.urls) == 1


def test_a_proxy_that_passes_events_alone_is_used_and_the_test_says_so() -> None:
    found = opened(Wire(NONE), endpoint="https://proxy.example")
    assert "does not say" in found.test()
    assert found.post(b"{}") == {"status": "Ok"}
    with pytest.raises(ConfigError):
        opened(Wire(NONE)).test()


def test_a_personal_key_is_refused_when_it_is_given() -> None:
    with pytest.raises(ConfigError, match="personal API key") as caught:
        config.PosthogSettings(project_key=SecretStr("phx_hidden"))
    assert "hidden" not in str(caught.value)


def test_over_its_quota_nothing_counts_as_written() -> None:
    wire = Wire(KNOWN, Answer(200, {}, b'{"status":"Ok","quota_limited":["events"]}'))
    sending = Sending(record("identify", distinct_id="u"), b"{}")
    outcomes = actions.send(opened(wire), [sending, sending])
    assert [outcome.status for outcome in outcomes] == [Status.RETRY] * 2
    assert "quota of events" in outcomes[0].message


def deleted(said: Answer, **settings: Any) -> tuple[Wire, list[Outcome]]:
    wire = Wire(KNOWN, said)
    keys: dict[str, Any] = {"personal_key": SecretStr("phx_1"), "project_id": "12"}
    rows = [record("identify", Op.DELETED, distinct_id=one) for one in ("a", "b")]
    batch = [Sending(one, actions.IDENTIFY.encode(one)) for one in rows]
    return wire, list(actions.send_persons(opened(wire, **{**keys, **settings}), batch))


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "https://us.posthog.com"),
        ({"region": "eu"}, "https://eu.posthog.com"),
        ({"endpoint": "https://posthog.example"}, "https://posthog.example"),
        ({"endpoint": "https://proxy.example", "app_endpoint": "https://app.example"}, "https://app.example"),
    ],
)
def test_persons_of_deleted_rows_are_deleted(settings: dict[str, Any], address: str) -> None:
    wire, outcomes = deleted(Answer(200, {}, b'{"persons_found":2,"persons_deleted":2}'), **settings)
    assert wire.urls == [f"{address}/api/projects/12/persons/bulk_delete/"]
    assert wire.bodies == [{"distinct_ids": ["a", "b"], "delete_events": False}]
    assert wire.signed == "Bearer phx_1"
    assert {outcome.status for outcome in outcomes} == {Status.WRITTEN}


def test_who_is_not_there_is_deleted_and_who_could_not_be_is_not() -> None:
    _, outcomes = deleted(Answer(400, {}, b'{"detail":"distinct_ids matched no person"}'))
    assert {outcome.status for outcome in outcomes} == {Status.WRITTEN}
    _, outcomes = deleted(Answer(200, {}, b'{"persons_deleted":1,"deletion_errors":[{"person_uuid":"x"}]}'))
    assert {outcome.status for outcome in outcomes} == {Status.RETRY}


def test_without_a_personal_key_nobody_is_deleted_and_it_is_said_what_is_missing() -> None:
    for missing in ("personal_key", "project_id"):
        with pytest.raises(ConfigError, match="personal API key and the project's number"):
            deleted(KNOWN, **{missing: None})


def test_rows_that_are_deleted_share_no_call_with_others_and_need_the_id() -> None:
    gone = record("identify", Op.DELETED, distinct_id="a")
    assert actions.IDENTIFY.group(gone) != actions.IDENTIFY.group(record("identify", distinct_id="a"))
    assert isinstance(fields.checker(actions.IDENTIFY)({"plan": "pro"}, Op.DELETED), Outcome)


def test_the_personal_key_is_tried_too() -> None:
    wire = Wire(KNOWN, Answer(403, {}, b'{"detail":"scope"}'))
    with pytest.raises(AccessError) as caught:
        opened(wire, personal_key=SecretStr("phx_1"), project_id="12").test()
    assert wire.urls == ["https://us.posthog.com/api/projects/12/persons/?limit=1"]
    assert "may write persons" in (caught.value.hint or "")
