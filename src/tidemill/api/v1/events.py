"""Server-Sent Events (HTML, "Server-sent events"): how something goes on, as it does.

One task of the process looks how all stands that anybody watches, in one thread, once a second. Who watches takes
neither a thread nor one of the turns of `turns.py`; their number is bounded. A stream ends when what it tells of
is over, or after a while, so that a token that was revoked is noticed: a client that wants more comes again by itself,
with the id of the last event that it has seen, which it is not told again.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from tidemill.api.v1.problems import ProblemError, problem
from tidemill.api.v1.turns import TURN
from tidemill.capture.http import STOPPING

if TYPE_CHECKING:
    from tidemill.api.v1.bodies import Receive, Scope, Send
    from tidemill.app import App

_log = logging.getLogger(__name__)
_LOOKS_EVERY_SECONDS, _BEATS_EVERY_SECONDS, _LASTS_SECONDS = 1.0, 15.0, 600.0
#: So many at once in a process.
_MOST = 200
KIND = "text/event-stream"
_EVENT = {
    "title": "Event",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "For Last-Event-ID."},
        "event": {"type": "string", "enum": ["progress", "over"]},
        "data": {"type": "string", "description": "JSON."},
    },
}
#: For the description of a route.
DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `progress`, and `over` at the end; their data is what GET of the run answers, in short.",
        "content": {KIND: {"schema": _EVENT}},
    },
    204: {"description": "It is over, and the client knows: Last-Event-ID is that of the last event."},
}


@dataclasses.dataclass(frozen=True)
class State:
    """How something stands, as JSON has it, and whether it stays like that."""

    data: dict[str, Any]
    is_over: bool

    @property
    def text(self) -> str:
        """The data of its event."""
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))

    @property
    def id(self) -> str:
        """By which the client says that it knows it."""
        return hashlib.blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()

    @property
    def event(self) -> bytes:
        """As it is sent."""
        kind = "over" if self.is_over else "progress"
        return f"id: {self.id}\nevent: {kind}\ndata: {self.text}\n\n".encode("utf-8", "replace")


#: How all of these stand; those that are gone are left out. It asks the installation, in a thread.
Look = Callable[["App", Collection[Any]], Mapping[Any, State]]


@dataclasses.dataclass(eq=False)
class _Watcher:
    """One client. `seen`: the id of what it was told last."""

    look: Look
    key: Hashable
    state: State | None = None
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    is_gone: bool = False


class Watches:
    """What is watched in this process."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._watchers: set[_Watcher] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether nobody more can watch."""
        return len(self._watchers) >= _MOST

    @contextlib.contextmanager
    def watching(self, watcher: _Watcher) -> Any:
        """It is told, for the time of the block."""
        self._watchers.add(watcher)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            self._watchers.discard(watcher)

    async def _keep_looking(self) -> None:
        while self._watchers:
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)
            by_look: dict[Look, list[_Watcher]] = {}
            for watcher in self._watchers:
                by_look.setdefault(watcher.look, []).append(watcher)
            for look, watchers in by_look.items():
                await self._tell(look, watchers)

    async def _tell(self, look: Look, watchers: list[_Watcher]) -> None:
        try:
            found = await asyncio.to_thread(look, self._app, {watcher.key for watcher in watchers})
        except Exception as error:  # noqa: BLE001 - the database may be away: they wait
            _log.warning("who watches is told nothing: %s", error)
            return
        for watcher in watchers:
            state = found.get(watcher.key)
            watcher.is_gone = state is None
            if state is None or state != watcher.state:
                watcher.state = state or watcher.state
                watcher.news.set()


class EventStream(Response):
    """The answer: what a watcher is told, until that is over, or the client is gone."""

    media_type = KIND

    def __init__(self, watches: Watches, watcher: _Watcher, seen: str | None) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._watches, self._watcher, self._seen = watches, watcher, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        scope[TURN].leave()
        gone = asyncio.create_task(_gone(receive))
        try:
            with self._watches.watching(self._watcher):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._tell(scope, send, gone)
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    async def _tell(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        end, beat = time.monotonic() + _LASTS_SECONDS, time.monotonic() + _BEATS_EVERY_SECONDS
        watcher = self._watcher
        while not gone.done() and time.monotonic() < end and not scope.get(STOPPING):
            state = watcher.state
            watcher.news.clear()
            if state is not None and state.id != self._seen:
                self._seen = state.id
                await send({"type": "http.response.body", "body": state.event, "more_body": True})
                beat = time.monotonic() + _BEATS_EVERY_SECONDS
            if watcher.is_gone or (state is not None and state.is_over):
                return
            if time.monotonic() >= beat:
                await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
                beat = time.monotonic() + _BEATS_EVERY_SECONDS
            news = asyncio.ensure_future(watcher.news.wait())
            await asyncio.wait({news, gone}, timeout=_LOOKS_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()


async def _gone(receive: Receive) -> None:
    """Until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def stream(request: Request, look: Look, key: Hashable, state: State) -> Response:
    """How something goes on, from `state` on. `look`: the same function for all of a kind, which asks for all of them
    at once; `key`: of this one.

    Raises
    ------
    ProblemError
        Too many watch.
    """
    seen = request.headers.get("last-event-id")
    if state.is_over and seen == state.id:
        return Response(status_code=204)
    watches: Watches = request.app.state.watches
    if watches.is_full:
        raise ProblemError(
            problem(503, "streams_busy", f"{_MOST} streams are open already.", "Ask now and then instead."),
            {"retry-after": "30"},
        )
    return EventStream(watches, _Watcher(look, key, state), seen)
