"""Streams of events: how a run goes on is told to who watches, as long as they do and it does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.api_client import Client, assert_problem, streaming
from tests.capture_server import free_port, until
from tests.installation import CONNECTION, Installation
from tests.served import Server

from tidemill.api.v1 import events
from tidemill.api.v1.bodies import Guarded
from tidemill.app import App
from tidemill.capture.http import STOPPING


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app() as opened:
        installation.connect(opened)
        opened.exports.create(CONNECTION, {"name": "daily"}, by="me")
        yield opened


@pytest.fixture
def client(app: App, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(events, "_LOOKS_EVERY_SECONDS", 0.02)
    return Client(app)


def begin(app: App) -> uuid.UUID:
    """A run that this process moves, as far as anybody knows."""
    app.engine.launch()
    with app.database.begin() as connection:
        run: uuid.UUID = connection.scalar(
            sa.text("""
                INSERT INTO tidemill.runs (id, export_id, number, status, mode, spec, snapshot_after, snapshot_upto,
                    rows_planned, created_by, worker, started_at)
                SELECT gen_random_uuid(), id, 1, 'running', 'append', spec, 0, 1, 100, 'me', :worker, now()
                FROM tidemill.exports RETURNING id
            """),
            {"worker": app.engine.worker},
        )
        row = "INSERT INTO tidemill.chunks (run_id, number, snapshot_after, snapshot_upto, rows_planned) "
        connection.execute(sa.text(f"{row} VALUES (:run, 0, 0, 1, 100)"), {"run": run})
    return run


def moved(app: App, run: uuid.UUID, rows: int, status: str = "running") -> None:
    with app.database.begin() as connection:
        connection.execute(sa.text("UPDATE tidemill.chunks SET rows_loaded = :rows"), {"rows": rows})
        change = "UPDATE tidemill.runs SET status = :status WHERE id = :run"
        connection.execute(sa.text(change), {"status": status, "run": run})


def test_a_run_is_told_until_it_is_over_and_no_longer(app: App, client: Client) -> None:
    token, run = client.token(), begin(app)
    path = f"/exports/daily/runs/{run}/events"
    assert_problem(client.ask("POST", f"/exports/daily/runs/{run}/retry", token), 409, "run_running")

    async def watch() -> None:
        api = client.guarded
        async with streaming(api, path, token) as found:
            assert await found.begun() == 200
            assert found.headers["content-type"].startswith("text/event-stream")
            first = await found.event()
            assert first is not None
            assert (first.kind, first.data["status"], first.data["rows_done"]) == ("progress", "running", 0)
            await asyncio.to_thread(moved, app, run, 40)
            second = await found.event()
            assert second is not None
            assert (second.kind, second.data["rows_done"]) == ("progress", 40)
        # It was left in the middle; whoever comes again is told what is new.
        async with streaming(api, path, token, last=second.id) as found:
            await found.begun()
            await asyncio.to_thread(moved, app, run, 100, "completed")
            third = await found.event()
            assert third is not None
            assert (third.kind, third.data["status"], third.data["is_over"]) == ("over", "completed", True)
            assert await found.event() is None
        async with streaming(api, path, token) as found:
            await found.begun()
            over = await found.event()
            assert over is not None
            assert (over.kind, over.id) == ("over", third.id)
            assert await found.event() is None
        async with streaming(api, path, token, last=third.id) as found:
            assert await found.begun() == 204

    asyncio.run(watch())


def test_who_watches_takes_no_turn_and_there_may_be_so_many(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_MOST", 8)
    token, run = client.token(), begin(app)
    path = f"/exports/daily/runs/{run}/events"
    looks: list[Any] = []
    progress = app.exports.listed.progress

    def looked(keys: Any) -> Any:
        looks.append(keys)
        return progress(keys)

    monkeypatch.setattr(app.exports.listed, "progress", looked)

    async def watch() -> None:
        api = client.guarded
        async with contextlib.AsyncExitStack() as stack:
            watching = [await stack.enter_async_context(streaming(api, path, token)) for _ in range(8)]
            for found in watching:
                assert await found.begun() == 200
                assert await found.event() is not None
            async with streaming(api, path, token) as refused:  # so it is answered: turns are free
                assert await refused.begun() == 503
                assert int(refused.headers["retry-after"]) > 1
            await asyncio.to_thread(moved, app, run, 7)
            for found in watching:
                event = await found.event()
                assert event is not None
                assert event.data["rows_done"] == 7
        assert not client.api._inner._inner.state.watches._watchers  # type: ignore[attr-defined]
        async with streaming(api, path, token) as found:
            assert await found.begun() == 200

    asyncio.run(watch())
    assert all(keys == {run} for keys in looks)


@pytest.mark.parametrize("end", ["the server stops", "it is late", "the run is deleted"])
def test_streams_end(app: App, client: Client, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    token, run = client.token(), begin(app)

    async def watch() -> None:
        api: Guarded = client.guarded
        async with streaming(api, f"/exports/daily/runs/{run}/events", token) as found:
            await found.begun()
            assert await found.event() is not None
            if end == "the server stops":
                found.scope[STOPPING] = True
            elif end == "the run is deleted":
                await asyncio.to_thread(_delete, app)
            assert await found.event() is None

    if end == "it is late":
        monkeypatch.setattr(events, "_LASTS_SECONDS", 0.1)
    asyncio.run(watch())


def _delete(app: App) -> None:
    with app.database.begin() as connection:
        connection.execute(sa.text("DELETE FROM tidemill.runs"))


def test_a_server_that_is_to_stop_ends_its_streams_well(
    installation: Installation, app: App, client: Client, tmp_path: Path
) -> None:
    token, run, port = client.token(), begin(app), free_port()
    server, url = Server(installation, tmp_path / "log"), f"http://127.0.0.1:{port}"
    server.start("--port", str(port), "--role", "api")
    stopped: list[int] = []
    stopping = threading.Thread(target=lambda: stopped.append(server.stop()))
    try:
        until(lambda: _answers(url), "the server is ready")
        headers = {"authorization": f"Bearer {token}"}
        path = f"{url}/api/v1/exports/daily/runs/{run}/events"
        with httpx.stream("GET", path, headers=headers, timeout=60) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            assert next(lines).startswith("id: ")
            stopping.start()
            rest = list(lines)  # it ends; a connection that is cut is an error
    finally:
        if stopping.ident is None:
            stopping.start()
        stopping.join()
    assert not [line for line in rest if line.startswith("event: over")]
    assert stopped == [0]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_who_waits_is_told_that_it_is_still_there(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_BEATS_EVERY_SECONDS", 0.05)
    token, run = client.token(), begin(app)

    async def watch() -> None:
        async with streaming(client.guarded, f"/exports/daily/runs/{run}/events", token) as found:
            await found.begun()
            await found.event()
            sent: Any = await asyncio.wait_for(found._sent.get(), 30)
            assert sent["body"].startswith(b":")

    asyncio.run(watch())
