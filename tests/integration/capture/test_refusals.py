"""What the APIs refuse, in the words of each; and what they drop in silence, which is kept."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.capture_client import Capture, dumped, key, run, stored
from tests.unit.capture.test_lz_string import packed

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.events.lake import Lake
from tidemill.events.parse import MAX_KEPT
from tidemill.settings import Settings

GOOD = {"user_id": "ana-1", "device_id": "device-1", "event_type": "x", "time": 1_700_000_000_000}


async def in_parts(body: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def amplitudes(**more: Any) -> bytes:
    return dumped({"api_key": "no", "options": {"min_id_length": 1}, "events": [GOOD], **more})


def test_what_is_amplitudes_at_batch_is_refused_in_its_words(tmp_path: Path) -> None:
    token = key(tmp_path)
    large = amplitudes(x="y" * 21_000_000)

    async def ask(capture: Capture) -> None:
        cases: list[tuple[Any, int, str]] = [
            (dumped({"api_key": token, "events": None}), 400, "Request missing required field"),
            (dumped({"api_key": token, "events": []}), 400, "Request missing required field"),
            (dumped({"events": [GOOD]}), 400, "Request missing required field"),
            (amplitudes(), 400, "Invalid API key: unknown or missing"),
            (amplitudes()[:-3], 400, "Invalid JSON request body"),
            (dumped({"api_key": token, "events": 3}), 400, "Invalid JSON request body"),
            (gzip.compress(amplitudes())[:-10], 400, "Invalid JSON request body"),
            (dumped({"api_key": token, "events": [GOOD] * 2_001}), 413, "Payload too large"),
            (large, 413, "Payload too large"),
            (in_parts(large), 413, "Payload too large"),
            (gzip.compress(large, 1), 413, "Payload too large"),
        ]
        for body, status, error in cases:
            answer = await capture.post("/batch", body)
            assert (answer.status_code, answer.json()["code"], answer.json()["error"]) == (status, status, error)
        missing = await capture.post("/batch", dumped({"api_key": token, "events": None}))
        assert missing.json()["missing_field"] == "events"
        posthogs = [
            dumped({"batch": [], "events": [1], "api_key": token}),
            dumped({"event": 3, "events": [1]}),
            b"{",
            b"",
        ]
        for body in posthogs:
            answer = await capture.post("/batch", body)
            assert answer.text.startswith(("failed to parse request: ", "API key is not valid: ")), answer.text

    run(tmp_path, ask)


def test_amplitude_at_batch_is_told_in_its_words_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = key(tmp_path)
    body = dumped({"api_key": token, "events": [GOOD]})

    async def ask(capture: Capture) -> None:
        async def check() -> None:
            answer = await capture.post("/batch", body)
            assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, 503, "1")

        with monkeypatch.context() as patch:
            patch.setattr(Lake, "append", lambda *_: (_ for _ in ()).throw(UnavailableError("disk_full", "It is.")))
            await check()
        room = capture.intake._room
        for left in (200, 100):  # too little for what is made of it, and for itself
            with room.share() as others:
                others.take(room.most - left)
                await check()

    run(tmp_path, ask)


def test_an_amplitude_body_that_does_not_come_is_answered_by_how_it_began(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield amplitudes()[:60]
        await asyncio.sleep(60)

    async def ask(capture: Capture) -> None:
        from tidemill.capture.http import Request
        from tidemill.capture.intake import DIALECTS
        from tidemill.capture.server import API

        parts = never()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(parts), "more_body": True}

        request = Request({"method": "POST", "path": "/batch", "headers": [], "query_string": b""}, receive)
        answer = await capture.intake.answer(request, DIALECTS["/batch"])
        assert answer is not None
        assert (answer.status, json.loads(answer.body)["code"]) == (503, 503)
        assert request.scope[API] == "amplitude"

    run(tmp_path, ask, capture_body_seconds=0.05)


def test_amplitude_names_what_is_to_come_later(tmp_path: Path) -> None:
    token = key(tmp_path, events_per_second=3)
    events = [GOOD, {**GOOD, "user_id": "bob-1"}, {**GOOD, "device_id": None}, 1, {"user_id": 3}]

    async def ask(capture: Capture) -> None:
        first = {"api_key": token, "events": [{**GOOD, "insert_id": str(number)} for number in range(20)]}
        assert (await capture.post("/2/httpapi", dumped(first))).status_code == 200
        for path in ("/2/httpapi", "/batch"):
            answer = await capture.post(path, dumped({"api_key": token, "events": events}))
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json() == {
                "code": 429,
                "error": "Too many requests for some devices and users",
                "eps_threshold": 3,
                "throttled_users": {"ana-1": 2, "bob-1": 1},
                "throttled_devices": {"device-1": 2},
                "throttled_events": [0, 1, 2, 3, 4],
                "exceeded_daily_quota_users": {},
                "exceeded_daily_quota_devices": {},
            }

    run(tmp_path, ask)


def test_segment_tells_when_it_takes_more(tmp_path: Path) -> None:
    token = key(tmp_path, events_per_second=1)
    calls = [{"type": "track", "userId": "u", "event": "x"}] * 20

    async def ask(capture: Capture) -> None:
        assert (await capture.post("/v1/batch", dumped({"writeKey": token, "batch": calls}))).status_code == 200
        answer = await capture.post("/v1/batch", dumped({"writeKey": token, "batch": calls}))
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert answer.headers["x-ratelimit-reset"] == answer.headers["retry-after"]
        assert int(answer.headers["retry-after"]) >= 1

    run(tmp_path, ask)


def test_what_amplitudes_requests_lack_is_named(tmp_path: Path) -> None:
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        empty = await capture.post("/2/httpapi", b"")
        assert (empty.status_code, empty.json()["error"]) == (400, "Missing request body")
        for body, field in ({"api_key": token}, "events"), ({"events": [GOOD]}, "api_key"):
            answer = await capture.post("/2/httpapi", dumped(body))
            assert answer.status_code == 400
            assert (answer.json()["error"], answer.json()["missing_field"]) == ("Request missing required field", field)
        for path in ("/identify", "/groupidentify"):
            for form in ({}, {"api_key": token}, {"api_key": token, "identification": "x"}):
                answer = await capture.http.post(path, data=form)
                assert (answer.status_code, answer.text) == (400, "missing_event")
        odd = dumped({"group_type": 0, "group_value": "a"}).replace(b"0", b"1e999").decode()
        answer = await capture.http.post("/groupidentify", data={"api_key": token, "identification": odd})
        assert (answer.status_code, answer.json()["events_with_invalid_fields"]) == (400, {"events": [0]})

    run(tmp_path, ask)
    with App(Settings(home=tmp_path)) as app:
        assert app.events.rejects() == []


def hit(number: int, **more: Any) -> dict[str, Any]:
    given = {"event": "hit", "uuid": f"u{number}", "distinct_id": "ana", "timestamp": "2026-01-01T00:00:00Z"}
    return {**given, "properties": {"n": number}, **more}


def test_bad_events_beyond_a_thousand_are_set_aside_together(tmp_path: Path) -> None:
    token = key(tmp_path)
    bad = [{"n": number} for number in range(3_000)]

    async def ask(capture: Capture) -> None:
        for _ in range(2):
            body = dumped({"api_key": token, "batch": [hit(1), *bad, [token], hit(2)]})
            answer = await capture.post("/batch", body)
            assert (answer.status_code, answer.json()) == (200, {"status": "Ok"})
        found = (await capture.http.get("/metrics", headers={"authorization": "Bearer secret"})).text
        assert 'tidemill_capture_set_aside_total{code="event_missing"} 6000.0' in found

    run(tmp_path, ask, metrics_token="secret")
    assert [row[0] for row in stored(tmp_path)] == ["u1", "u2"]
    with App(Settings(home=tmp_path)) as app:
        found = app.events.rejects(limit=5_000)
        (together,) = app.events.rejects(code="too_many_refused")
    assert len(found) == 1_001
    assert together.message.startswith("2,001 records")
    assert together.whole
    held = json.loads(together.raw)["batch"]
    assert held == [*bad[1_000:], ["***"]]


def test_no_body_makes_more_rejects_than_there_have_to_be(tmp_path: Path) -> None:
    token = key(tmp_path)
    small = [{"n": number} for number in range(1_100)]
    large = [{"n": number, "x": "y" * 600_000} for number in range(30)]

    async def ask(capture: Capture) -> None:
        body = dumped({"api_key": token, "batch": [*small, *large]})
        assert (await capture.post("/batch", body)).status_code == 200
        calls = [{"type": "track"}] * 20_000
        context = {"app": "z" * 100_000}
        body = dumped({"writeKey": token, "batch": calls, "context": context})
        assert (await capture.post("/v1/batch", body)).status_code == 200

    run(tmp_path, ask)
    with App(Settings(home=tmp_path)) as app:
        found = app.events.rejects(limit=5_000)
    by_api = {api: [one for one in found if one.place == f"sent by {api}"] for api in ("posthog", "segment")}
    assert len(by_api["posthog"]) == 1_001
    assert len(by_api["segment"]) == 1
    assert all(len(one.raw) <= MAX_KEPT and one.whole for one in found)


def test_each_record_that_was_set_aside_together_is_tried_again(tmp_path: Path) -> None:
    token = key(tmp_path, 3)
    calls = [{"type": "track", "userId": "u", "event": "x", "messageId": f"m{n}"} for n in range(2_500)]
    many = [{"type": "track", "userId": "u", "event": "x", "messageId": f"m{n}"} for n in range(2_500, 5_000)]
    bad = [{"type": "track", "event": "nobody", "messageId": f"b{number}"} for number in range(5)]

    async def ask(capture: Capture) -> None:
        batch = {"writeKey": token, "batch": [*calls, *many, *bad], "context": {"library": {"name": "l"}}}
        assert (await capture.post("/v1/batch", dumped(batch))).status_code == 200

    run(tmp_path, ask)
    with App(Settings(home=tmp_path)) as app:
        assert len(app.events.rejects(limit=5_000)) == 1_001
        for _ in range(2):
            done = app.events.retry_rejects()
            assert done.rejects == 1
        assert done.rows == 0
        (left,) = app.events.rejects()
        assert left.message.startswith("5 records")
    rows = stored(tmp_path, "DISTINCT uuid, team_id, json_extract_string(envelope, '$.context.library.name')")
    assert {row[0] for row in rows} == {f"m{number}" for number in range(5_000)}
    assert {row[1:] for row in rows} == {(3, "l")}


COLUMNS = 'uuid, event, distinct_id, team_id, timestamp, properties, "set", kind, envelope'


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("off", [0, 3_600])
def test_what_was_set_aside_is_taken_later_as_it_would_have_been_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: int, *, together: bool
) -> None:
    """The reader has a fault at first, and refuses everything."""
    from tidemill.capture import taken
    from tidemill.errors import RowError
    from tidemill.events.formats import posthog, posthog_quick, segment

    token = key(tmp_path, 3)
    sent_at = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=off)).isoformat()

    def bodies(names: str) -> list[tuple[str, bytes]]:
        call = {"userId": "u", "event": "x", "context": {"own": 1}}
        calls = [
            {**call, "type": "track", "messageId": names + "1", "timestamp": "2026-01-01T00:00:00.5Z"},
            {"type": "identify", "userId": "u", "traits": {"a": 1}, "messageId": names + "2"},
        ]
        shared = {"sentAt": sent_at, "context": {"library": {"name": "l"}}, "integrations": {"All": False}}
        events = [
            hit(0, uuid=names + "3"),
            {"event": "$x", "uuid": names + "4", "distinct_id": "a", "offset": 5_000, "sent_at": "2020-01-01"},
            {"event": "$y", "uuid": names + "5", "distinct_id": "a", "other": {"b": 2}},
        ]
        return [
            ("/v1/batch", dumped({"writeKey": token, "batch": calls, **shared})),
            ("/v1/page", dumped({"writeKey": token, "userId": "u", "name": "Home", "messageId": names + "6"})),
            ("/batch", dumped({"api_key": token, "batch": events, "sent_at": sent_at})),
            ("/batch", dumped({"api_key": token, "batch": [hit(0, uuid=names + "7")], "historical_migration": True})),
            ("/engage", dumped({"$token": token, "$distinct_id": "a", "uuid": names + "8", "$set": {"c": 3}})),
        ]

    now = 1_790_000_000_000_000_000

    async def ask(capture: Capture) -> None:
        monkeypatch.setattr("tidemill.capture.intake.time.time_ns", lambda: now)
        with monkeypatch.context() as patch:

            def refuse(*_: Any) -> Any:
                raise RowError("fault", "It has a fault.")

            patch.setattr(posthog, "captured", refuse)
            patch.setattr(posthog_quick, "body", lambda _: None)
            patch.setattr(segment, "called", refuse)
            if together:
                patch.setattr(taken, "MOST_ALONE", 0)
            for path, body in bodies("a"):
                assert (await capture.post(path, body)).status_code == 200
        for path, body in bodies("b"):
            assert (await capture.post(path, body)).status_code == 200

    run(tmp_path, ask)
    with App(Settings(home=tmp_path)) as app:
        assert {one.code for one in app.events.rejects()} == {"too_many_refused" if together else "fault"}
        done = app.events.retry_rejects()
        assert (done.rows, done.rejects) == (8, 0)
    rows = stored(tmp_path, COLUMNS)
    late, at_once = ([row[1:] for row in rows if row[0][0] == first] for first in "ab")
    # What is told is the same; the order of the fields is not.
    assert [_plain(row) for row in late] == [_plain(row) for row in at_once]


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [json.loads(value) if isinstance(value, str) and value[:1] == "{" else value for value in row]


def test_many_tiny_records_are_refused_where_there_is_little_room(tmp_path: Path) -> None:
    token = key(tmp_path)
    tiny = dumped({"api_key": token, "batch": [{"event": "a", "distinct_id": "b"}] * 20_000})
    usual = dumped({"api_key": token, "batch": [hit(n, properties={}) for n in range(8_000)]})
    calls = dumped({"writeKey": token, "batch": [{}] * 100_000})

    async def ask(capture: Capture) -> None:
        for path, body, status in (("/batch", tiny, 413), ("/batch", usual, 413), ("/v1/batch", calls, 400)):
            answer = await capture.post(path, body)  # it would not help to come again
            assert (answer.status_code, "retry-after" in answer.headers) == (status, False), path
        assert (await capture.post("/batch", dumped({"api_key": token, "batch": [hit(1)]}))).status_code == 200

    run(tmp_path, ask, capture_held_bytes=8_000_000)
    assert len(stored(tmp_path)) == 1


def test_a_body_of_the_full_size_is_taken_with_the_room_that_there_is(tmp_path: Path) -> None:
    token = key(tmp_path)
    properties = {f"p{number}": "x" * 30 for number in range(19)}
    batch = [hit(number, properties=properties) for number in range(22_400)]
    body = dumped({"api_key": token, "batch": batch})
    assert 19_500_000 < len(body) < 20 * 1024 * 1024

    async def ask(capture: Capture) -> None:
        assert (await capture.post("/batch", body)).status_code == 200

    run(tmp_path, ask)
    assert len(stored(tmp_path)) == len(batch)


def test_lz64_is_taken(tmp_path: Path) -> None:
    token = key(tmp_path)
    bodies = [packed(json.dumps({"api_key": token, "batch": [hit(number)]}, ensure_ascii=False)) for number in range(2)]
    form = {"data": bodies[1].decode(), "compression": "lz64"}
    large = packed(json.dumps({"api_key": token, "batch": [hit(n) for n in range(2, 1_500)]}))

    async def ask(capture: Capture) -> None:
        assert (await capture.post("/e/?compression=lz64", bodies[0])).status_code == 200
        assert (await capture.http.post("/e/", data=form)).status_code == 200
        assert len(large) > 64 * 1024
        assert (await capture.post("/batch?compression=lz64", large)).status_code == 200
        plain = dumped({"api_key": token, "batch": [hit(1_500)]})
        assert (await capture.post("/e/?compression=lz64", plain)).status_code == 200

    run(tmp_path, ask)
    assert len(stored(tmp_path)) == 1_501
