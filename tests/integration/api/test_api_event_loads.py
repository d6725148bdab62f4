"""Files of events by the HTTP API: sent as they are, bounded, loaded by a worker, told as it goes on; and cancelled."""

from __future__ import annotations

import asyncio
import gzip
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api_client import Client, assert_problem, streaming, work
from tests.installation import Installation, write_events

from tidemill.access.permissions import Permission
from tidemill.app import App
from tidemill.settings import Settings

MOST = 1_000_000


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(upload_bytes=MOST) as opened:
        yield opened


def file_of(tmp_path: Path, number: int) -> bytes:
    write_events(tmp_path / "events.jsonl", number)
    return (tmp_path / "events.jsonl").read_bytes()


def sent(client: Client, token: str, data: bytes, query: str = "file=events.jsonl") -> dict[str, Any]:
    answer = client.ask("POST", f"/events/loads?{query}", token, content=data)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/events/loads/{found['id']}"
    return found


def left(app: App) -> list[str]:
    """Files that were sent and are there still, anywhere."""
    home: Settings = app.settings
    folders = (home.spool_path, home.home_path / "events" / "uploads")
    return [one.name for folder in folders if folder.is_dir() for one in folder.iterdir() if one.is_file()]


def test_a_file_is_sent_loaded_and_gone(app: App, client: Client, token: str, tmp_path: Path) -> None:
    data = file_of(tmp_path, 30) + b"{nonsense\n"
    first = sent(client, token, gzip.compress(data), "file=events.jsonl.gz&format=posthog&team_id=7")
    assert (first["status"], first["is_over"], first["bytes_read"]) == ("waiting", False, 0)
    work(app)
    loaded = client.ask("GET", f"/events/loads/{first['id']}", token).json()
    assert (loaded["status"], loaded["rows"], loaded["rejects"], loaded["format"]) == ("completed", 30, 1, "posthog")
    assert loaded["bytes_read"] == loaded["bytes"] == first["bytes"]
    assert client.ask("GET", "/events/count?team_id=7", token).json() == [{"value": None, "events": 30}]
    (line,) = client.ask("GET", "/events/rejects", token).json()["items"]
    assert line["place"].startswith("events.jsonl.gz"), "it is called as its sender calls it"
    again = sent(client, token, gzip.compress(data, mtime=0), "format=posthog&team_id=7")
    work(app)
    told = client.ask("GET", f"/events/loads/{again['id']}", token).json()
    assert (told["rows"], told["duplicates"] or told["already_loaded"]) == (0, told["duplicates"] or True)
    assert [one["id"] for one in client.all("/events/loads", token, limit=1)] == [again["id"], first["id"]]
    assert left(app) == []
    assert set(client.ask("GET", "/events/rejects/export", token).text.splitlines()) == {"{nonsense"}
    record = app.audit.find(action="events.load", limit=1)[0]
    assert (record.actor_kind, record.name, record.outcome) == ("token", "a file", "done")


def test_rows_of_others_by_a_mapping(app: App, client: Client, token: str) -> None:
    data = b"who,when\nana,2026-01-02T03:04:05Z\n"
    first = sent(client, token, data, "format=csv&map=distinct_id%3Dwho&map=timestamp%3Dwhen&event=signed%20up")
    work(app)
    assert client.ask("GET", f"/events/loads/{first['id']}", token).json()["rows"] == 1
    assert client.ask("GET", "/events", token).json()[0]["event"] == "signed up"


def test_what_cannot_be_loaded_is_refused_at_once_or_says_why(app: App, client: Client, token: str) -> None:
    for query in ("format=nonsense", "map=timestamp", "map=nothing%3Dx", "team_id=-1", "file="):
        assert client.ask("POST", f"/events/loads?{query}", token, content=b"{}").status_code == 422, query
    assert_problem(client.ask("POST", "/events/loads", token, content=b""), 422, "file_empty")
    broken = sent(client, token, gzip.compress(b"{}" * 1000)[:-9])
    work(app)
    told = client.ask("GET", f"/events/loads/{broken['id']}", token).json()
    assert told["status"] == "failed"
    assert told["error"]["hint"]
    assert left(app) == []
    assert_problem(client.ask("GET", f"/events/loads/{'0' * 32}", token), 404, "load_unknown")


def test_a_file_is_bounded_and_comes_in_time(app: App, client: Client, token: str) -> None:
    """Whether or not it says how large it is; and nothing of it stays."""
    reader = client.token(Permission.EVENTS_READ)
    assert_problem(client.ask("POST", "/events/loads", reader, content=b"{}"), 403, "scope_missing")
    assert_problem(client.ask("POST", "/events/loads", token, content=b"x" * (MOST + 1)), 413, "upload_too_large")

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"y" * 50_000

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    assert_problem(client.ask("POST", "/events/loads", token, content=parts()), 413, "upload_too_large")
    app_of_routes: Any = client.api._inner
    places = app_of_routes._inner.state.files
    assert places.number == 0, "who is refused gives its place back"
    places.number = 4
    busy = client.ask("POST", "/events/loads", token, content=b"{}")
    assert assert_problem(busy, 503, "uploads_busy")
    assert busy.headers["retry-after"] == "10"
    places.number = 0
    client.seconds = 0.2
    assert_problem(client.ask("POST", "/events/loads", token, content=never()), 408, "body_too_slow")
    assert left(app) == []
    assert client.ask("GET", "/events/loads", token).json()["items"] == []


def test_one_that_waits_can_be_cancelled_and_what_nothing_names_is_removed(
    app: App, client: Client, token: str, tmp_path: Path
) -> None:
    """As of a server that was killed between the file and its row."""
    first = sent(client, token, file_of(tmp_path, 5))
    assert client.ask("POST", f"/events/loads/{first['id']}/cancel", token).json()["status"] == "cancelled"
    work(app)
    assert client.ask("GET", "/events/count", token).json()[0]["events"] == 0
    assert left(app) == []
    waiting = sent(client, token, file_of(tmp_path, 5))
    folder = app.settings.home_path / "events" / "uploads"
    (folder / ("0" * 32)).write_bytes(b"left")
    for one in folder.iterdir():
        os.utime(one, (0, 0))
    assert app.event_loads.prune() == 1
    assert left(app) == [uuid.UUID(waiting["id"]).hex]


def test_how_it_goes_on_is_told(app: App, client: Client, token: str, tmp_path: Path) -> None:
    first = sent(client, token, file_of(tmp_path, 5))

    async def watched() -> list[tuple[str, str]]:
        async with streaming(client.guarded, f"/events/loads/{first['id']}/events", token) as stream:
            assert await stream.begun() == 200
            began = await stream.event()
            await asyncio.to_thread(work, app)
            told = [began]
            while (event := await stream.event()) is not None:
                told.append(event)
            return [(one.kind, one.data["status"]) for one in told if one is not None]

    told = asyncio.run(watched())
    assert told[0] == ("progress", "waiting")
    assert told[-1] == ("over", "completed")
