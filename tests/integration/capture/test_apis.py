"""What the APIs take, what they answer, and what is in the store then."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.capture_client import Capture, dumped, key, run, set_aside, stored

from tidemill.app import App
from tidemill.settings import Settings

NOW = dt.datetime.now(dt.UTC)


def event(number: int = 1, **more: Any) -> dict[str, Any]:
    given = {"event": "hit", "uuid": f"u{number}", "distinct_id": "ana", "timestamp": "2026-01-01T00:00:00Z"}
    return {**given, "properties": {"n": number}, **more}


POSTHOG = [
    f"{path}{end}"
    for path in ("/i/v0/e", "/e", "/capture", "/track", "/engage", "/batch")
    for end in ("", "/")
]  # fmt: skip


def test_posthogs_paths_take_one_event_an_array_and_a_batch(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        for number, path in enumerate(POSTHOG):
            bodies = [
                {**event(3 * number), "api_key": token},
                [event(3 * number + 1, properties={"token": token})],
                {"token": token, "batch": [event(3 * number + 2)]},
            ]
            for body in bodies:
                answer = await capture.post(path, dumped(body))
                assert (answer.status_code, answer.json()) == (200, {"status": "Ok"}), (path, body)

    run(tmp_path, ask)
    assert {row[0] for row in stored(tmp_path)} == {f"u{number}" for number in range(3 * len(POSTHOG))}


def test_a_body_may_be_packed_in_any_of_posthogs_ways(tmp_path: Path) -> None:
    token = key(tmp_path)
    form = {"content-type": "application/x-www-form-urlencoded"}

    def body(number: int) -> bytes:
        return dumped({"api_key": token, "batch": [event(number)]})

    async def ask(capture: Capture) -> None:
        packed = base64.b64encode(body(3)).decode()
        zipped = base64.b64encode(gzip.compress(body(4))).decode()
        answers = [
            await capture.post("/e/", gzip.compress(body(0)), headers={"content-encoding": "gzip"}),
            await capture.post("/e/?compression=gzip-js&ver=1.2&_=1", gzip.compress(body(1))),
            await capture.post("/e/", base64.b64encode(body(2)), headers={"content-type": "text/plain"}),
            await capture.post("/e/", urllib.parse.urlencode({"data": packed}), headers=form),
            await capture.post("/e/", urllib.parse.urlencode({"compression": "gzip", "data": zipped}), headers=form),
            await capture.http.get("/e/", params={"data": base64.b64encode(body(5)).decode(), "ip": "1"}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 6
        beacon = await capture.http.get("/e/", params={"data": body(6).decode(), "beacon": "1"})
        assert (beacon.status_code, beacon.content) == (204, b"")
        damaged = await capture.post("/e/?compression=lz64", b"NoIgpghg")
        assert (damaged.status_code, "lz64" in damaged.text) == (400, True)

    run(tmp_path, ask)
    assert {row[0] for row in stored(tmp_path)} == {f"u{number}" for number in range(7)}


def test_an_event_is_kept_as_it_was_sent_with_the_team_of_its_key(tmp_path: Path) -> None:
    token = key(tmp_path, 7)
    sent = event(1, properties={"$set": {"plan": "pro"}, "name": "Zoë 🦀", "deep": [{"a": None}]}, team_id=3)

    async def ask(capture: Capture) -> None:
        assert (await capture.post("/capture/", dumped({**sent, "api_key": token}))).status_code == 200
        own = {**event(2), "properties": {"$ip": "198.51.100.1", "token": token}}
        assert (await capture.post("/capture/", dumped(own))).status_code == 200

    run(tmp_path, ask)
    first, second = stored(tmp_path, 'team_id, ip, "set", properties, epoch_us(timestamp), envelope')
    assert first[:3] == (7, "203.0.113.7", '{"plan": "pro"}')
    assert json.loads(first[3]) == sent["properties"]
    assert (first[4], first[5]) == (1_767_225_600_000_000, None)
    assert (second[0], second[1]) == (7, "198.51.100.1")


def test_the_same_event_sent_twice_counts_once(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        call = {"userId": "u", "event": "bought", "messageId": "m", "writeKey": token}
        one = {"event_type": "x", "insert_id": "i", "time": 1_700_000_000_000}
        devices = [{**one, "device_id": "device-1"}, {**one, "device_id": "device-2"}]
        for _ in range(2):
            assert (await capture.post("/e", dumped({**event(), "api_key": token}))).status_code == 200
            assert (await capture.post("/v1/track", dumped(call))).status_code == 200
            assert (await capture.post("/2/httpapi", dumped({"api_key": token, "events": devices}))).status_code == 200
            both = {"api_key": token, "batch": [event(2), event(2)]}
            assert (await capture.post("/batch", dumped(both))).status_code == 200

    run(tmp_path, ask)
    assert [row[0] for row in stored(tmp_path, "event", "event")] == ["bought", "hit", "hit", "x", "x"]


def test_two_events_without_an_id_are_two(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        body = dumped({"api_key": token, "event": "hit", "distinct_id": "a", "timestamp": "2026-01-01T00:00:00Z"})
        for _ in range(2):
            assert (await capture.post("/e", body)).status_code == 200

    run(tmp_path, ask)
    assert len(stored(tmp_path)) == 2


def test_a_clock_that_is_wrong_is_put_right(tmp_path: Path) -> None:
    token, now, hour = key(tmp_path), dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    said = (now - hour).isoformat()  # an hour behind
    earlier = (now - hour - dt.timedelta(minutes=5)).isoformat()

    async def ask(capture: Capture) -> None:
        batch = [event(1, timestamp=earlier), {**event(2), "timestamp": None, "offset": 300_000}]
        body = {"api_key": token, "batch": batch, "sent_at": said}
        assert (await capture.post("/batch", dumped(body))).status_code == 200
        call = {"type": "track", "userId": "u", "event": "x", "messageId": "u3", "timestamp": earlier}
        body = {"writeKey": token, "batch": [call], "sentAt": said}
        assert (await capture.post("/v1/batch", dumped(body))).status_code == 200
        old = {"api_key": token, "batch": [event(4, timestamp=earlier)], "sent_at": said, "historical_migration": True}
        assert (await capture.post("/batch", dumped(old))).status_code == 200

    run(tmp_path, ask)
    # What passed until the request came is taken for a part of what the clock is off.
    ages = [(now - row[0]).total_seconds() for row in stored(tmp_path, "timestamp")]
    assert ages[:3] == pytest.approx([300] * 3, abs=30)
    assert ages[3] == pytest.approx(3900, abs=0.01)


def test_what_posthog_drops_in_silence_is_set_aside_and_can_be_retried(tmp_path: Path) -> None:
    token = key(tmp_path, 4)
    bad = [
        {"event": "", "distinct_id": "a"},
        {"event": "x"},
        {"event": "x", "distinct_id": "a", "timestamp": "yesterday"},
        [1],
    ]

    async def ask(capture: Capture) -> None:
        body = {"api_key": token, "batch": [event(1), *bad, event(2)]}
        for _ in range(2):
            answer = await capture.post("/batch/", dumped(body))
            assert (answer.status_code, answer.json()) == (200, {"status": "Ok"})
        found = (await capture.http.get("/metrics")).status_code
        assert found == 401  # this client is not on this machine

    run(tmp_path, ask)
    assert [row[0] for row in stored(tmp_path)] == ["u1", "u2"]
    codes = [code for code, _ in set_aside(tmp_path)]
    assert codes == ["distinct_id_missing", "event_missing", "field_type", "timestamp_invalid"]


def test_refusals_are_those_of_posthogs_api(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        large = event(1, properties={"x": "y" * 1_000_000})
        cases: list[tuple[bytes, str, int]] = [
            (b"", "/e", 400),
            (b"{", "/e", 400),
            (b"\xff\xfe", "/e", 400),
            (b"[]", "/e", 400),
            (dumped(event()), "/e", 401),
            (dumped({**event(), "api_key": "phx_personal"}), "/e", 401),
            (dumped([event(1, token=token), event(2, token="other")]), "/e", 401),
            (dumped({"api_key": token, "batch": [large]}), "/batch", 413),
            (b" " * (2 * 1024 * 1024 + 1), "/e", 413),
            (gzip.compress(b" " * 30_000_000), "/batch", 413),
            (b"[" * 100_000, "/e", 400),
        ]
        for body, path, status in cases:
            answer = await capture.post(path, body)
            assert answer.status_code == status, (body[:50], answer.text)
        assert (await capture.http.put("/e", content=b"{}")).status_code == 405
        encoded = await capture.post("/e", b"x", headers={"content-encoding": "br"})
        assert (encoded.status_code, "br" in encoded.text) == (400, True)

    run(tmp_path, ask)
    assert stored(tmp_path) == []


def test_sdks_are_told_that_there_are_no_flags(tmp_path: Path) -> None:
    async def ask(capture: Capture) -> None:
        for path in ("/flags", "/flags/?v=2", "/decide/?v=3", "/array/phc_x/config"):
            answer = await capture.post(path, b"{}")
            found = answer.json()
            assert (answer.status_code, found["featureFlags"], found["errorsWhileComputingFlags"]) == (200, {}, False)
        assert (await capture.http.get("/array/phc_x/config.js")).status_code == 200
        assert (await capture.http.get("/other")).status_code == 404

    run(tmp_path, ask)


def test_pages_of_any_origin_may_send(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        headers = {"origin": "https://shop.example", "access-control-request-headers": "x-a,content-type"}
        asked = await capture.http.options("/e/", headers=headers)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://shop.example"
        assert asked.headers["access-control-allow-headers"] == "x-a,content-type"
        assert "POST" in asked.headers["access-control-allow-methods"]
        for body in (dumped({**event(), "api_key": token}), b"{"):  # errors can be read, too
            answer = await capture.post("/e/", body, headers={"origin": "https://shop.example"})
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
            assert answer.headers["access-control-allow-credentials"] == "true"

    run(tmp_path, ask)


CALLS: dict[str, dict[str, Any]] = {
    "track": {"event": "bought", "properties": {"price": 3}},
    "identify": {"traits": {"plan": "pro"}},
    "page": {"name": "Home", "properties": {"url": "/"}},
    "screen": {"name": "Start"},
    "group": {"groupId": "acme", "traits": {"size": 3}},
    "alias": {"previousId": "old"},
}


@pytest.mark.parametrize("how", ["basic", "body"])
def test_segments_paths_take_calls_and_batches(tmp_path: Path, how: str) -> None:
    token = key(tmp_path, 5)
    more = {} if how == "basic" else {"writeKey": token}
    auth = httpx.BasicAuth(token, "") if how == "basic" else None

    async def ask(capture: Capture) -> None:
        for kind, call in CALLS.items():
            one = {"userId": "ana", "messageId": kind, **call, **more}
            answer = await capture.post(f"/v1/{kind}", dumped(one), auth=auth)
            assert (answer.status_code, answer.json()) == (200, {"success": True})
        for path in ("/v1/batch", "/v1/import"):
            calls = [{"type": k, "userId": "bob", "messageId": f"{path}{k}", **c} for k, c in CALLS.items()]
            body: dict[str, Any] = {
                "batch": calls,
                "context": {"ip": "198.51.100.9"},
                "sentAt": NOW.isoformat(),
                **more,
            }
            assert (await capture.post(path, gzip.compress(dumped(body)), auth=auth)).status_code == 200

    run(tmp_path, ask)
    rows = stored(tmp_path, 'uuid, event, distinct_id, team_id, ip, "set"')
    assert len(rows) == 18
    assert {row[3] for row in rows} == {5}
    assert {row[4] for row in rows if row[2] == "ana"} == {None}  # a server's address is not its users'
    assert {row[4] for row in rows if row[2] == "bob"} == {"198.51.100.9"}
    names = {row[0]: row[1] for row in rows}
    assert names["page"] == "$pageview"
    assert names["alias"] == names["/v1/batchalias"] == "$create_alias"


def test_refusals_are_those_of_segments_api(tmp_path: Path) -> None:
    token = key(tmp_path)
    call = {"type": "track", "userId": "u", "event": "x", "writeKey": token}

    async def ask(capture: Capture) -> None:
        cases = [
            (b"{", "/v1/track", 400),
            (b"[]", "/v1/batch", 400),
            (b"{}", "/v1/batch", 400),
            (dumped({"userId": "u"}), "/v1/track", 401),
            (dumped({**call, "properties": {"x": "y" * 33_000}}), "/v1/track", 400),
            (dumped({"batch": [], "x": "y" * 512_001, "writeKey": token}), "/v1/batch", 400),
        ]
        for body, path, status in cases:
            answer = await capture.post(path, body)
            assert answer.status_code == status
            assert (answer.json()["success"], bool(answer.json()["code"])) == (False, True)
        many = [{"type": "track", "userId": "u", "event": "x", "messageId": f"m{n}"} for n in range(2_501)]
        large = {"type": "track", "userId": "u", "event": "x", "properties": {"x": "y" * 33_000}}
        nobody = {"type": "track", "event": "x"}
        assert (await capture.post("/v1/batch", dumped({"batch": many, "writeKey": token}))).status_code == 200
        rest = dumped({"batch": [large, nobody], "writeKey": token})
        assert (await capture.post("/v1/batch", rest)).status_code == 200

    run(tmp_path, ask)
    assert len(stored(tmp_path)) == 2_500
    assert [code for code, _ in set_aside(tmp_path)] == ["batch_too_long", "call_too_large", "distinct_id_missing"]


def test_amplitudes_paths_take_events_and_identifications(tmp_path: Path) -> None:
    token = key(tmp_path, 6)

    async def ask(capture: Capture) -> None:
        one = {"user_id": "ana-1", "device_id": "device-1", "event_type": "x", "time": 1_700_000_000_000}
        events = [{**one, "insert_id": "1", "ip": "$remote"}, {**one, "insert_id": "2", "event_properties": {"a": 1}}]
        for path in ("/2/httpapi", "/batch"):
            before = time.time() * 1000
            answer = await capture.post(path, dumped({"api_key": token, "events": events}))
            found = answer.json()
            assert (answer.status_code, found["code"], found["events_ingested"]) == (200, 200, 2)
            assert found["payload_size_bytes"] == len(answer.request.content)
            assert before - 1 <= found["server_upload_time"] <= time.time() * 1000
        who = {"user_id": "ana-1", "user_properties": {"$set": {"plan": "pro"}}}
        form = {"api_key": token, "identification": json.dumps([who])}
        answer = await capture.http.post("/identify", data=form)
        assert (answer.status_code, answer.text) == (200, "success")
        group = {"group_type": "org", "group_value": "acme", "group_properties": {"size": 3}}
        form = {"api_key": token, "identification": json.dumps(group)}
        assert (await capture.http.post("/groupidentify", data=form)).status_code == 200

    run(tmp_path, ask)
    rows = stored(tmp_path, 'event, distinct_id, ip, "set", team_id', "event, ip")
    assert rows == [
        ("$groupidentify", "org_acme", None, None, 6),
        ("$identify", "ana-1", None, '{"plan": "pro"}', 6),
        ("x", "ana-1", "203.0.113.7", None, 6),
        ("x", "ana-1", None, None, 6),
    ]


def test_refusals_of_amplitudes_api_name_the_bad_events(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        good = {"user_id": "ana-1", "event_type": "x", "time": 1_700_000_000_000}
        events = [
            good,
            {"user_id": "ana-1"},
            {**good, "user_id": "abc"},
            {**good, "time": 1_700_000_000},
            {"event_type": "x"},
            {**good, "user_id": "anonymous"},
            {**good, "user_id": "abc", "device_id": "device-1"},
            {**good, "event_properties": 3},
            1,
        ]
        answer = await capture.post("/2/httpapi", dumped({"api_key": token, "events": events}))
        found = answer.json()
        assert (answer.status_code, found["code"]) == (400, 400)
        assert found["missing_field"] is None  # else the SDKs drop the good ones, too
        assert found["events_with_missing_fields"] == {"event_type": [1], "user_id": [4]}
        assert found["events_with_invalid_fields"] == {
            "user_id": [2, 5],
            "time": [3],
            "event_properties": [7],
            "events": [8],
        }
        body = {"api_key": token, "events": [{**good, "user_id": "abc"}], "options": {"min_id_length": 1}}
        assert (await capture.post("/2/httpapi", dumped(body))).status_code == 200
        wrong = await capture.post("/2/httpapi", dumped({"api_key": "no", "events": [good]}))
        assert (wrong.status_code, wrong.json()["error"][:15]) == (400, "Invalid API key")
        many = await capture.post("/batch", dumped({"api_key": token, "events": [good] * 2_001}))
        assert (many.status_code, many.json()) == (413, {"code": 413, "error": "Payload too large"})
        large = await capture.post("/2/httpapi", b" " * 1_100_000)
        assert large.status_code == 413
        broken = await capture.post("/2/httpapi", b"{")
        assert (broken.status_code, broken.json()["error"]) == (400, "Invalid JSON request body")

    run(tmp_path, ask)
    assert len(stored(tmp_path)) == 1


def test_numbers_that_nothing_holds_and_ids_that_say_nothing_stop_nobody(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        body = dumped({"api_key": token, "batch": [event(1), event(2, uuid=" "), event(3, uuid=" ")]})
        far = body.replace(b'"api_key"', b'"sent_at": 1e999, "api_key"')
        assert (await capture.post("/batch", far)).status_code == 200
        good = {"user_id": "ana-1", "event_type": "x", "time": 1_700_000_000_000}
        body = dumped({"api_key": token, "events": [good]})
        far = body.replace(b'"api_key"', b'"client_upload_time": 1e999, "api_key"')
        assert (await capture.post("/2/httpapi", far)).status_code == 200
        answer = await capture.post("/2/httpapi", body.replace(b"1700000000000", b"1e999"))
        assert (answer.status_code, answer.json()["events_with_invalid_fields"]) == (400, {"time": [0]})
        deep = event(9)
        nested = b'{"a":' * 900 + b"1" + b"}" * 900
        body = dumped({"api_key": token, "batch": [deep]}).replace(b'"uuid"', b'"$set": ' + nested + b', "uuid"')
        assert (await capture.post("/batch", body)).status_code == 200

    run(tmp_path, ask)
    assert sorted(row[0] for row in stored(tmp_path, "event", "event")) == ["hit", "hit", "hit", "x"]
    assert [code for code, _ in set_aside(tmp_path)] == ["json_too_deep"]


def test_no_key_is_kept_with_what_was_set_aside(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        for body in ({"api_key": token, "event": ""}, {"event": "", "properties": {"token": token}}):
            assert (await capture.post("/e", dumped(body))).status_code == 200

    run(tmp_path, ask)
    with App(Settings(home=tmp_path)) as app:
        kept = [reject.raw for reject in app.events.rejects()]
    assert len(kept) == 2
    assert token.encode() not in b"".join(kept)


def test_health_and_metrics_are_told(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        for path in ("/health", "/_liveness", "/ready", "/_readiness"):
            assert (await capture.http.get(path)).status_code == 200
        assert (await capture.post("/e", dumped({**event(), "api_key": token}))).status_code == 200
        assert (await capture.post("/e", dumped({**event(), "api_key": token}))).status_code == 200
        assert (await capture.http.get("/metrics")).status_code == 401
        wrong = {"authorization": "Bearer no"}
        assert (await capture.http.get("/metrics", headers=wrong)).status_code == 401
        found = (await capture.http.get("/metrics", headers={"authorization": "Bearer secret"})).text
        assert "tidemill_capture_events_total 1.0" in found
        assert "tidemill_capture_duplicates_total 1.0" in found
        assert 'tidemill_capture_requests_total{api="posthog",status="200"} 2.0' in found
        assert token not in found

    run(tmp_path, ask, metrics_token="secret")
