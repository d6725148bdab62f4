"""A real browser with a page that sends with posthog-js, and does what the test tells it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.capture_server import LIMIT_SECONDS, until
from tests.sdks.known import Call

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WHO, TITLE = "Jürgen 🌊", "A page with PostHog's SDK"


def found() -> str | None:
    """The browser of this machine."""
    names = [*map(shutil.which, _NAMES), str(_MAC) if _MAC.exists() else None]
    return next(filter(None, names), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser, if there is one."""
    name = found()
    if name is None:
        pytest.skip("Chromium is needed: apt-get install chromium, or brew install --cask google-chrome")
    return name


@dataclasses.dataclass
class Page:
    """What the page is given, and what it says."""

    told: dict[str, Any]
    script: Path
    steps: queue.Queue[dict[str, Any]] = dataclasses.field(default_factory=queue.Queue)
    taken: int = 0
    said: list[str] = dataclasses.field(default_factory=list)

    def tell(self, event: str, **more: int) -> None:
        """Have the page do something; it has begun when this returns."""
        before = self.taken
        self.steps.put({"event": event, **more})
        until(lambda: self.taken > before, f"the page has heard of {event}")

    def next_step(self) -> dict[str, Any]:
        """What the page is told to do; nothing, if there is nothing for a while."""
        with contextlib.suppress(queue.Empty):
            step = self.steps.get(timeout=5)
            self.taken += 1
            return step
        return {}


class _Handler(http.server.BaseHTTPRequestHandler):
    page: Page

    def do_GET(self) -> None:
        page = self.page
        match self.path:
            case "/":
                self._answer("text/html", (Path(__file__).parent / "page.html").read_bytes())
            case "/posthog.js":
                self._answer("text/javascript", page.script.read_bytes())
            case "/told":
                self._answer("application/json", json.dumps(page.told, default=str).encode())
            case "/step":
                self._answer("application/json", json.dumps(page.next_step()).encode())
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["content-length"]))
        self.page.said.append(said.decode())
        self._answer("text/plain", b"")

    def _answer(self, kind: str, body: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the browser was ended
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def opened(browser: str, folder: Path, modules: Path, url: str, key: str, calls: Sequence[Call]) -> Iterator[Page]:
    """The page, in a browser with a profile of its own."""
    told = {"url": url, "key": key, "who": WHO, "calls": [call.told() for call in calls]}
    page = Page(told, modules / "posthog-js" / "dist" / "module.js")
    handler = type("Handler", (_Handler,), {"page": page})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with _running(browser, folder, f"http://127.0.0.1:{server.server_port}/"):
            yield page
        server.shutdown()


@contextlib.contextmanager
def _running(browser: str, folder: Path, address: str) -> Iterator[None]:
    with (folder / "browser.log").open("wb") as log:
        words = [browser, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", address]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT_SECONDS)
