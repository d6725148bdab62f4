"""Asks the HTTP API of an installation within this process, and reads its streams of events."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from tidemill.access.permissions import Permission
from tidemill.api.v1.application import application
from tidemill.api.v1.bodies import Guarded
from tidemill.app import App

ALL = tuple(Permission)


class Client:
    """See the module. `said`: all that was answered, to look for secrets in it; `seconds`: how long bodies may take."""

    def __init__(self, app: App) -> None:
        self.app, self.api = app, application(app)
        self.said: list[str] = []
        self.seconds = 60.0

    def token(self, *scopes: Permission, seconds: int | None = None) -> str:
        """A new one; of all scopes, if none is named."""
        name = f"t{len(self.app.tokens.find(revoked=True))}"
        return self.app.tokens.create(name=name, scopes=scopes or ALL, expires_seconds=seconds, by="me")[0]

    @property
    def guarded(self) -> Guarded:
        """The application, for one event loop."""
        return Guarded(self.api._inner, self.seconds)

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """An answer. `path` may be without what all have in common."""
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        path = path if path.startswith("/api/") else f"/api/v1{path}"

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.guarded)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path, headers=headers, **options)

        answer = asyncio.run(asked())
        self.said.append(answer.text + str(answer.headers))
        return answer

    def all(self, path: str, token: str, *, limit: int, between: Callable[[int], None] = lambda _: None) -> list[Any]:
        """The items of all pages of a list. `between`: called after each page, with its number."""
        items: list[Any] = []
        cursor: str | None = None
        for number in range(10_000):
            page = f"{path}{'&' if '?' in path else '?'}limit={limit}" + (f"&cursor={cursor}" if cursor else "")
            answer = self.ask("GET", page, token)
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
            assert len(answer.json()["items"]) <= limit
            cursor = answer.json()["next"]
            if cursor is None:
                return items
            between(number)
        raise AssertionError("there is no end of it")


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """That it is a problem, told as one."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    said: dict[str, Any] = answer.json()
    assert (said["status"], said["code"], said["type"]) == (status, code, "about:blank"), answer.text
    assert said["title"]
    assert said["detail"]
    assert said["hint"]
    return said


@dataclasses.dataclass
class Event:
    """A Server-Sent Event."""

    id: str
    kind: str
    data: dict[str, Any]


class Streaming:
    """A request for a stream, which goes on in this event loop. `status`: of the answer, once it has begun."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.scope: dict[str, Any] = {}

    def leave(self) -> None:
        """The client goes away."""
        self._gone.set()

    async def begun(self) -> int:
        """Its status."""
        message = await asyncio.wait_for(self._sent.get(), 30)
        self.status = message["status"]
        self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return self.status

    async def event(self) -> Event | None:
        """The next event; None at the end."""
        while "\n\n" not in self.text:
            message = await asyncio.wait_for(self._sent.get(), 30)
            self.text += message.get("body", b"").decode()
            if not message.get("more_body", False):
                return None
        block, _, self.text = self.text.partition("\n\n")
        if block.startswith(":"):
            return await self.event()
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        return Event(fields["id"], fields["event"], json.loads(fields["data"]))

    async def receive(self) -> dict[str, Any]:
        """See ASGI."""
        if not self.scope.setdefault("test.asked", False):
            self.scope["test.asked"] = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """See ASGI."""
        if self._gone.is_set():
            raise OSError("the client is gone")
        await self._sent.put(message)


@contextlib.asynccontextmanager
async def streaming(api: Guarded, path: str, token: str, last: str | None = None) -> AsyncIterator[Streaming]:
    """A stream that was asked for; at the end of the block the client is gone, if it was not before."""
    found = Streaming()
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"accept", b"text/event-stream")]
    headers += [(b"last-event-id", last.encode())] if last is not None else []
    found.scope |= {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/api/v1{path}",
        "raw_path": f"/api/v1{path}".encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("here", 80),
    }
    found.task = asyncio.create_task(api(found.scope, found.receive, found.send))
    try:
        yield found
    finally:
        found.leave()
        await asyncio.wait_for(found.task, 30)


def work(app: App) -> None:
    """A worker does what is due."""
    for _ in range(20):
        if not app.worker.look():
            return
        app.worker.drain()
    raise AssertionError("there is no end of it")
