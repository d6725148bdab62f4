"""What is Segment's own: the shape of calls, regions, and what it drops without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tidemill.destinations import fields, registry
from tidemill.destinations.port import Mode, Op, Outcome, Outlet, Record, Sending
from tidemill.destinations.segment import actions, client, config
from tidemill.errors import AccessError, RetryableError
from tidemill.outbound.client import Answer

SEGMENT = registry.get("segment")


def record(action: str, **mapped: Any) -> Record:
    found = fields.checker(SEGMENT.action(action))(mapped, Op.ADDED)
    assert not isinstance(found, Outcome), found
    return Record("1", "id-1", Op.ADDED, Mode.UPSERT, found)


def call(action: str, **mapped: Any) -> Any:
    return json.loads(SEGMENT.action(action).encode(record(action, **mapped)))


class Wire:
    """Stands for requests: the key is known, and calls get these answers."""

    def __init__(self, *given: Answer, key: int = 200) -> None:
        self.given, self.key = list(given), key
        self.asked: list[tuple[str, str]] = []

    def request(self, method: str, url: str, **_: Any) -> Answer:
        self.asked.append((method, url))
        return Answer(self.key, {}, b"{}") if method == "GET" else self.given.pop(0)


def opened(wire: Wire, **settings: Any) -> client.SegmentClient:
    found = config.SegmentSettings(write_key=SecretStr("key/1"), **settings)
    return client.SegmentClient(found, Outlet(wire, lambda _: None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "mapped", "expected"),
    [
        (
            "identify",
            {"user_id": 7, "traits": {"plan": "free", "age": 3}, "plan": "pro", "left": None},
            {"userId": "7", "traits": {"plan": "pro", "age": 3, "left": None}},
        ),
        (
            "track",
            {"anonymous_id": "a", "event": "Paid", "amount": 2.5, "timestamp": "2024-05-06T07:08:09+02:00"},
            {
                "anonymousId": "a",
                "event": "Paid",
                "properties": {"amount": 2.5},
                "timestamp": "2024-05-06T05:08:09+00:00",
            },
        ),
        (
            "group",
            {"user_id": "u", "group_id": "g", "name": "Acme"},
            {"userId": "u", "groupId": "g", "traits": {"name": "Acme"}},
        ),
        (
            "page",
            {"user_id": "u", "name": "Home", "url": "/"},
            {"userId": "u", "name": "Home", "properties": {"url": "/"}},
        ),
        ("screen", {"user_id": "u", "category": "Shop"}, {"userId": "u", "category": "Shop"}),
        ("alias", {"user_id": "u", "previous_id": "a"}, {"userId": "u", "previousId": "a"}),
        (
            "identify",
            {"user_id": "u", "context": {"ip": "1.2.3.4"}, "integrations": {"All": False}},
            {"userId": "u", "context": {"ip": "1.2.3.4"}, "integrations": {"All": False}},
        ),
    ],
)
def test_a_row_becomes_a_call(action: str, mapped: dict[str, Any], expected: dict[str, Any]) -> None:
    assert call(action, **mapped) == {"type": action, "messageId": "id-1", **expected}


@pytest.mark.parametrize("mapped", [{}, {"user_id": ""}, {"plan": "pro"}])
def test_a_call_of_nobody_is_set_aside_here(mapped: dict[str, Any]) -> None:
    wrong = actions.somebody(record("identify", **mapped))
    assert wrong is not None
    assert "anonymous_id" in wrong.message
    assert actions.somebody(record("identify", anonymous_id="a")) is None


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "https://api.segment.io/v1/batch"),
        ({"region": "eu"}, "https://events.eu1.segmentapis.com/v1/batch"),
        ({"endpoint": "https://proxy.example/s/"}, "https://proxy.example/s/v1/batch"),
    ],
)
def test_calls_go_to_the_region_or_the_proxy(settings: dict[str, Any], address: str) -> None:
    wire = Wire(Answer(200, {}, b'{"success":true}'))
    opened(wire, **settings).post(b"{}")
    assert wire.asked == [("GET", "https://cdn.segment.com/v1/projects/key%2F1/settings"), ("POST", address)]


def test_the_key_is_looked_up_once_and_not_each_time() -> None:
    wire = Wire(*[Answer(200, {}, b'{"success":true}')] * 3)
    one = opened(wire)
    for _ in range(3):
        actions.send(one, [Sending(record("identify", user_id="u"), b"{}")])
    assert [method for method, _ in wire.asked] == ["GET", "POST", "POST", "POST"]


def test_a_key_that_nobody_has_is_told_before_anything_is_sent() -> None:
    wire = Wire(key=404)
    with pytest.raises(AccessError) as caught:
        opened(wire).post(b"{}")
    assert "write key" in (caught.value.hint or "")
    assert [method for method, _ in wire.asked] == ["GET"]


@pytest.mark.parametrize(
    ("headers", "after"),
    [({"x-ratelimit-reset": "7"}, 7), ({"retry-after": "3", "x-ratelimit-reset": "7"}, 3), ({}, None)],
)
def test_it_is_waited_as_long_as_segment_says(headers: dict[str, str], after: float | None) -> None:
    with pytest.raises(RetryableError) as caught:
        opened(Wire(Answer(429, headers, b""))).post(b"{}")
    assert caught.value.after == after


def test_accounts_are_told_apart_without_the_key() -> None:
    one, two = (config.SegmentSettings(write_key=SecretStr(key)).account for key in ("first", "second"))
    assert one != two
    assert one == config.SegmentSettings(write_key=SecretStr("first")).account
    assert "first" not in one
