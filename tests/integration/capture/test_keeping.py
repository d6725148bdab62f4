"""Who may send and how much, and what happens when events cannot be kept."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from tests.capture_client import Capture, key, run, serving, set_aside, stored

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.events.lake import Appended, Lake, Place, Prepared
from tidemill.settings import Settings
from tidemill.store.postgres import open_postgres


def body(token: str, *numbers: int, **properties: Any) -> bytes:
    batch = [
        {"event": "hit", "uuid": f"u{number}", "distinct_id": "a", "timestamp": "2026-01-01", "properties": properties}
        for number in numbers
    ]
    return json.dumps({"api_key": token, "batch": batch}).encode()


def test_a_revoked_key_is_refused_at_once_in_all_processes(tmp_path: Path) -> None:
    token = key(tmp_path, name="web")

    async def ask(capture: Capture) -> None:
        async with serving(tmp_path, processes=2) as other:
            for number, server in enumerate((capture, other)):
                assert (await server.post("/batch", body(token, number))).status_code == 200
            with App(Settings(home=tmp_path)) as app:
                app.keys.revoke("WEB")
            for server in (capture, other, capture):
                assert (await server.post("/batch", body(token, 3))).status_code == 401

    run(tmp_path, ask)
    assert [row[0] for row in stored(tmp_path)] == ["u0", "u1"]


def test_a_new_key_is_known_to_a_server_that_runs(tmp_path: Path) -> None:
    key(tmp_path)

    async def ask(capture: Capture) -> None:
        token = await asyncio.to_thread(key, tmp_path, 2)
        assert (await capture.post("/batch", body(token, 1))).status_code == 200

    run(tmp_path, ask)
    assert stored(tmp_path, "team_id") == [(2,)]


def test_only_a_hash_of_a_key_is_kept(tmp_path: Path) -> None:
    token = key(tmp_path)
    with App(Settings(home=tmp_path)) as app, psycopg.connect(open_postgres(app.settings).dsn) as session:
        rows = session.execute("SELECT k::text, encode(hash, 'escape') FROM tidemill.keys k").fetchall()
    assert rows
    assert token not in str(rows)


def test_a_key_sends_no_more_than_it_may(tmp_path: Path) -> None:
    token = key(tmp_path, events_per_second=5)
    fast = key(tmp_path)

    async def ask(capture: Capture) -> None:
        statuses = []
        for number in range(4):
            answer = await capture.post("/batch", body(token, *range(10 * number, 10 * number + 10)))
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
        assert statuses[0] == 200
        assert 429 in statuses[1:]
        assert (await capture.post("/batch", body(fast, 100))).status_code == 200  # others do not wait for it

    run(tmp_path, ask)


def test_what_there_is_no_room_for_is_told_to_come_again_and_is_taken_then(tmp_path: Path) -> None:
    token = key(tmp_path)
    large = body(token, 1, text="x" * 600_000)

    async def ask(capture: Capture) -> None:
        answer = await capture.post("/batch", large)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await capture.post("/batch", body(token, 2))).status_code == 200

    run(tmp_path, ask, capture_held_bytes=1_000_000)
    assert [row[0] for row in stored(tmp_path)] == ["u2"]


@pytest.mark.parametrize("path", ["/batch", "/v1/track", "/2/httpapi"])
def test_a_full_disk_refuses_and_recovers_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    token = key(tmp_path)
    bodies = {
        "/batch": body(token, 1),
        "/v1/track": json.dumps({"writeKey": token, "userId": "a", "event": "x", "messageId": "u1"}).encode(),
        "/2/httpapi": json.dumps(
            {"api_key": token, "events": [{"user_id": "ana-1", "event_type": "x", "insert_id": "1"}]}
        ).encode(),
    }
    real, full = Lake.append, [True]

    def append(lake: Lake, prepared: Prepared, place: Place, within: dt.timedelta) -> Appended:
        if full[0]:
            raise UnavailableError("disk_full", "The event store could not write: No space left.")
        return real(lake, prepared, place, within)

    monkeypatch.setattr(Lake, "append", append)

    async def ask(capture: Capture) -> None:
        for _ in range(2):
            answer = await capture.post(path, bodies[path])
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await capture.http.get("/ready")).status_code == 200  # it can be read
        full[0] = False
        assert (await capture.post(path, bodies[path])).status_code == 200

    run(tmp_path, ask)
    assert len(stored(tmp_path)) == 1


def test_a_server_is_not_ready_while_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(capture: Capture) -> None:
        assert (await capture.http.get("/ready")).status_code == 200
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _: Usage(100, 99, 1))
            assert (await capture.http.get("/ready")).status_code == 503
            assert (await capture.http.get("/health")).status_code == 200
        assert (await capture.http.get("/ready")).status_code == 200

    key(tmp_path)
    run(tmp_path, ask)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_commit_whose_outcome_is_not_known_is_not_acknowledged_and_not_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = key(tmp_path)
    real, lost = Lake.append, [True]

    def append(lake: Lake, prepared: Prepared, place: Place, within: dt.timedelta) -> Appended:
        done = real(lake, prepared, place, within)
        if lost.pop():
            lost.append(False)
            raise UnavailableError("lock_lost", "The connection to the database was lost.")
        lost.append(False)
        return done

    monkeypatch.setattr(Lake, "append", append)

    async def ask(capture: Capture) -> None:
        assert (await capture.post("/batch", body(token, 1, 2))).status_code == 503
        assert (await capture.post("/batch", body(token, 1, 2, 3))).status_code == 200

    run(tmp_path, ask)
    assert [row[0] for row in stored(tmp_path)] == ["u1", "u2", "u3"]


def test_what_was_sent_and_set_aside_is_listed_tried_again_and_dismissed(tmp_path: Path) -> None:
    token = key(tmp_path, 9)
    call = {"type": "track", "event": "x", "messageId": "m1", "timestamp": "2026-01-01", "properties": {"user": "ana"}}

    async def ask(capture: Capture) -> None:
        sent = json.dumps({"writeKey": token, "batch": [call]})
        assert (await capture.post("/v1/batch", sent)).status_code == 200

    run(tmp_path, ask)
    assert set_aside(tmp_path) == [("distinct_id_missing", "sent by segment")]
    with App(Settings(home=tmp_path)) as app:
        assert app.events.retry_rejects().rejects == 1
        assert app.events.dismiss_rejects() == 1
        assert app.events.rejects() == []


def test_the_store_is_the_same_whoever_sends_at_once(tmp_path: Path) -> None:
    """Two processes, many requests at once, each of them sent twice."""
    token = key(tmp_path)

    async def ask(capture: Capture) -> None:
        async with serving(tmp_path, processes=2, capture_commit_seconds=0.01) as other:
            sent = [
                server.post("/batch", body(token, *range(20 * number, 20 * number + 20)))
                for number in range(20)
                for server in (capture, other)
            ]
            assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}

    run(tmp_path, ask, capture_commit_seconds=0.01)
    assert sorted(row[0] for row in stored(tmp_path)) == sorted(f"u{number}" for number in range(400))
