"""Speaks to a capture server and its writer, which are in this process, as ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tidemill import serving as composition
from tidemill.app import App
from tidemill.capture.intake import Intake
from tidemill.capture.sdks import Sdks
from tidemill.capture.server import Server
from tidemill.serving import capture_writer
from tidemill.settings import Settings


@dataclasses.dataclass
class Capture:
    """A server that runs, and a client of it."""

    http: httpx.AsyncClient
    server: Server
    settings: Settings

    @property
    def intake(self) -> Intake:
        (part,) = self.server._parts
        assert isinstance(part, Sdks)
        return part._intake

    async def post(self, path: str, content: bytes | str = b"", **more: Any) -> httpx.Response:
        return await self.http.post(path, content=content, **more)


@contextlib.asynccontextmanager
async def serving(home: Path, *, processes: int = 1, **fields: Any) -> AsyncIterator[Capture]:
    """A server of this home. It is stopped at the end of the block, and has committed what it took by then."""
    settings = Settings(home=home, **fields)
    with writing(settings) as path:
        server = composition.server(settings, composition.sdks(processes, path))
        transport = httpx.ASGITransport(server, client=("203.0.113.7", 1234))
        server.open()
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://capture", timeout=60) as http:
                yield Capture(http, server, settings)
        finally:
            server.close()


@contextlib.contextmanager
def writing(settings: Settings) -> Iterator[Path]:
    """A writer, by a thread of this process. Gives its socket, of which the path may not be long."""
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        path = Path(folder) / "writer"
        with capture_writer(settings, path) as writer:
            threading.Thread(target=writer.run, daemon=True).start()
            yield path


def run(home: Path, ask: Callable[[Capture], Awaitable[None]], **settings: Any) -> None:
    """Ask a server of this home, which commits at once unless the settings say otherwise."""

    async def go() -> None:
        async with serving(home, **{"capture_commit_seconds": 0, **settings}) as found:
            await ask(found)

    asyncio.run(go())


def dumped(value: object) -> bytes:
    """As JSON."""
    return json.dumps(value).encode()


def key(home: Path, team_id: int = 1, **fields: Any) -> str:
    """A new key."""
    with App(Settings(home=home)) as app:
        fields = {"name": None, "events_per_second": None, **fields}
        return app.keys.create(team_id=team_id, by="tester", **fields)[0]


def stored(home: Path, columns: str = "uuid", order: str = "uuid") -> list[tuple[Any, ...]]:
    """What the store holds."""
    with App(Settings(home=home)) as app, app.lake.cursor() as cursor:
        return cursor.execute(f"SELECT {columns} FROM lake.events ORDER BY {order}").fetchall()


def set_aside(home: Path) -> list[tuple[str, str]]:
    """Code and place of what was set aside."""
    with App(Settings(home=home)) as app:
        return sorted((reject.code, reject.place) for reject in app.events.rejects())
