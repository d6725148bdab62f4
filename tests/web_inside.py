"""The web app in a thread of this process, and pages of it that are open without a browser: all that a page can tell
the server is told over its websocket, whether or not there is a button for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import html
import html.parser
import itertools
import json
import math
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx
import uvicorn
from nicegui import core
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tidemill.app import App
from tidemill.web import sockets, visit
from tidemill.web.application import application
from tidemill.web.sessions import Sessions

_ELEMENTS = re.compile(r"parseElements\(String\.raw`(.*?)`\)", re.S)
_CLIENT = re.compile(r"'client_id': '([0-9a-f-]{36})'")
_TURNS, _WAITS_SECONDS = 25, 60.0


class Inside:
    """The web app of an installation. `sessions`: which it remembers for a moment."""

    def __init__(self, app: App) -> None:
        self.app, self.sessions = app, Sessions(app.users.session)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.told, self.heard = 0, 0

    def __enter__(self) -> Self:
        self._thread.start()
        end = time.monotonic() + _WAITS_SECONDS
        while (self._server is None or not self._server.started) and time.monotonic() < end:
            time.sleep(0.01)
        assert self._server is not None
        assert self._server.started
        core.sio.eio.ping_interval = 10 * _WAITS_SECONDS  # pages are not asked whether they are there still
        return self

    def __exit__(self, *_: object) -> None:
        from nicegui import Client

        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(_WAITS_SECONDS)
        self._listener.close()
        Client.handle_event = self._handle  # type: ignore[method-assign]
        sockets._AT_ONCE = self._at_once
        self._threads.shutdown()

    def _run(self) -> None:
        made = application(self.app)
        self._at_once, sockets._AT_ONCE = sockets._AT_ONCE, math.inf  # all that pages tell is heard
        self.sessions = visit._Process.sessions
        self._count()
        config = uvicorn.Config(
            made, http="httptools", ws="websockets-sansio", lifespan="on", log_level="error", ws_max_size=4_000_000,
            ws_per_message_deflate=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)

        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            assert self._server is not None
            await self._server.serve(sockets=[self._listener])

        with asyncio.Runner() as runner:
            runner.run(serve())

    def _count(self) -> None:
        """Know which events have come, and what is done for them."""
        from nicegui import Client

        def handled(client: Client, message: Any) -> None:
            self.heard += 1
            self._handle(client, message)

        self._handle = Client.handle_event
        Client.handle_event = handled  # type: ignore[assignment,method-assign]
        visit._Process.quick._pool = self._threads = _Counting(8)

    def settle(self) -> None:
        """Wait until all that pages have told was heard, and is done."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self._settled(), self.loop).result(_WAITS_SECONDS)

    async def _settled(self) -> None:
        end = time.monotonic() + _WAITS_SECONDS
        quiet = 0
        while quiet < _TURNS:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.told} told, {self.heard} heard, {self._threads.at_work} at work")
            quiet = quiet + 1 if self.heard >= self.told and not self._threads.at_work else 0
            await asyncio.sleep(0 if quiet else 0.002)


class _Counting(concurrent.futures.ThreadPoolExecutor):
    """Knows how much is at work."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.at_work, self._lock = 0, threading.Lock()

    def submit(self, *arguments: Any, **named: Any) -> Any:
        """See ThreadPoolExecutor."""
        with self._lock:
            self.at_work += 1
        found = super().submit(*arguments, **named)
        found.add_done_callback(self._done)
        return found

    def _done(self, _: object) -> None:
        with self._lock:
            self.at_work -= 1


@dataclasses.dataclass(frozen=True)
class Listener:
    """Something of an element that the server is told of."""

    element: int
    id: str
    kind: str


class OpenPage:
    """A page that somebody has open. `elements`: as the browser has them."""

    def __init__(self, inside: Inside, session: str, path: str) -> None:
        self._inside, self.path = inside, path
        cookie = {"cookie": f"tidemill_session={session}"}
        answer = httpx.get(inside.url + path, headers=cookie, timeout=_WAITS_SECONDS)
        self.status, self.text = answer.status_code, answer.text
        found, client = _ELEMENTS.search(answer.text), _CLIENT.search(answer.text)
        assert found is not None, (path, answer.status_code, answer.text[:500])
        assert client is not None
        self.elements: dict[int, dict[str, Any]] = {
            int(number): one for number, one in json.loads(html.unescape(found[1])).items()
        }
        self.client = client[1]
        self.said: list[str] = []
        self._closing = contextlib.ExitStack()
        self._socket = self._connected(cookie)

    def close(self) -> None:
        """Leave it."""
        self._closing.close()

    def _connected(self, cookie: dict[str, str]) -> ClientConnection:
        address = self._inside.url.replace("http", "ws", 1) + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        opened = connect(
            address, additional_headers=cookie, origin=Origin(self._inside.url), max_size=None, compression=None
        )
        made = self._closing.enter_context(opened)
        made.recv(timeout=_WAITS_SECONDS)
        made.send("40")
        made.recv(timeout=_WAITS_SECONDS)
        told = {"client_id": self.client, "tab_id": "t", "document_id": self.client, "next_message_id": 0}
        made.send("420" + json.dumps(["handshake", told]))
        while not (said := str(made.recv(timeout=_WAITS_SECONDS))).startswith("43"):
            self._take(said)
        assert "true" in said, said
        return made

    def listeners(self) -> list[Listener]:
        """All that it can tell."""
        return [
            Listener(number, one["listener_id"], one["type"])
            for number, element in self.elements.items()
            for one in element.get("events", ())
        ]

    def tell(self, listener: Listener, *arguments: Any) -> None:
        """Tell the server something, as a browser would."""
        told = {"id": listener.element, "client_id": self.client, "listener_id": listener.id}
        self._inside.told += 1
        self._socket.send("42" + json.dumps(["event", {**told, "args": [json.dumps(one) for one in arguments]}]))

    def hear(self) -> None:
        """Take what the server has told."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._take(str(self._socket.recv(timeout=0.01)))

    def _take(self, said: str) -> None:
        if said == "2":
            self._socket.send("3")
        if not said.startswith("42"):
            return
        kind, data = json.loads(said[2:])
        if kind == "update":
            for number, one in data.items():
                if number.isdigit() and one is None:
                    self.elements.pop(int(number), None)
                elif number.isdigit():
                    self.elements[int(number)] = one
        elif kind == "run_javascript":
            self.said.append(data["code"])

    def contents(self) -> Iterator[tuple[int, str]]:
        """What regions show, as HTML."""
        for number, element in list(self.elements.items()):
            if isinstance(content := element.get("props", {}).get("content"), str):
                yield number, content

    def marks(self) -> list[tuple[str, dict[str, str]]]:
        """The tags of all that, with their attributes."""
        reader = _Marks()
        for _, content in self.contents():
            reader.feed(content)
        return reader.found


class _Marks(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def crawl(inside: Inside, session: str, *beginnings: str, most: int = 150) -> Iterator[OpenPage]:
    """All pages that links lead to, from these on; of things that are alike, one."""
    waiting, known = list(beginnings), {_shape(one) for one in beginnings}
    for _ in range(most):
        if not waiting:
            return
        page = OpenPage(inside, session, waiting.pop(0))
        for tag, attributes in page.marks():
            link = attributes.get("href", "").partition("#")[0]
            if tag == "a" and link.startswith("/") and not link.startswith(("//", "/static", "/sign", "/account")):
                shape = _shape(link)
                if shape not in known:
                    known.add(shape)
                    waiting.append(link)
        yield page
    raise AssertionError(f"there is no end of it: {waiting[:20]}")


def _shape(link: str) -> tuple[str, ...]:
    """What alike things have in common of their addresses."""
    parts = urllib.parse.urlsplit(link)
    query = dict(urllib.parse.parse_qsl(parts.query))
    first, *rest = parts.path.strip("/").split("/")
    if rest and first != "settings" and not rest[0].startswith(("_new", "new")):
        rest[0] = "*"
    return (first, *("*" if len(part) > 30 or part.isdigit() else part for part in rest), *query, query.get("tab", ""))


def push(page: OpenPage, settle: Callable[[], None], tells: Callable[[OpenPage, Listener], Iterator[Any]]) -> None:
    """Tell the server all that `tells` says of each listener, and of what appears then, such as the buttons of a
    window; three times over, which is as deep as windows go."""
    told: set[tuple[int, str]] = set()
    for _ in range(3):
        fresh = [one for one in page.listeners() if (one.element, one.id) not in told]
        if not fresh:
            return
        for listener in fresh:
            told.add((listener.element, listener.id))
            for arguments in itertools.islice(tells(page, listener), 200):
                page.tell(listener, *arguments)
        settle()
        page.hear()
