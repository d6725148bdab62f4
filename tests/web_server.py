"""`tidemill serve --role web` as a process, and real Chromium that looks at it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.capture_server import until
from tests.installation import copy_home
from tests.sdks import node_senders

from tidemill.access.roles import Role
from tidemill.app import App
from tidemill.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PASSWORD = "a tide that comes and goes"
#: In milliseconds: the machine may be slow.
_PATIENCE = 60_000
_AXE = Path(__file__).parent / "acceptance" / "web" / "axe"
_WHO = {"address": "127.0.0.1", "agent": "tests"}


@dataclasses.dataclass
class Web:
    """An installation whose web app is served. `app`: the same one, for the test; `whole`: all of a server is."""

    app: App
    log: Path
    words: tuple[str, ...] = ()
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    whole: bool = False
    #: Of users who are signed in.
    sessions: dict[str, str] = dataclasses.field(default_factory=dict)

    def start(self) -> None:
        """Begin, and wait until it answers."""
        with self.log.open("ab") as log:
            words = ["serve", *(() if self.whole else ("--role", "web")), "--web-port", "0", *self.words]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidemill", *words],
                env={**os.environ, "TIDEMILL_HOME": str(self.app.settings.home_path), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(lambda: self.ended() or "The web app is at" in self.said, f"the web app begins; see {self.log}")
        found = re.search(r"The web app is at (\S+)", self.said)
        assert found is not None, self.said
        self.url = found[1]

    @property
    def said(self) -> str:
        """All that it has said."""
        return self.log.read_text()

    def ended(self) -> bool:
        """Whether its first process is gone."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> int:
        """Tell it to stop, and wait. Gives its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def user(self, name: str = "anna", role: Role = Role.ADMIN, *, anew: bool = False) -> str:
        """Somebody who is signed in: the text of their session. `anew`: of another one, which may be ended."""
        users = self.app.users
        if name in self.sessions and not anew:
            return self.sessions[name]
        if not users.any():
            users.begin(users.setup_token(), "root", PASSWORD, **_WHO)
        if name not in {user.name for user in users.find()}:
            users.create(name, role=role, password=PASSWORD, by="tests")
        session = users.sign_in(name, PASSWORD, **_WHO)
        if not anew:
            self.sessions[name] = session
        return session


def cookie(url: str, session: str) -> Any:
    """The cookie of a session, for a browser."""
    return {"name": "tidemill_session", "value": session, "url": url}


@dataclasses.dataclass
class Browsing:
    """A browser, with what its pages did wrong. `kept`: has all scripts already, and is used by one test after
    another."""

    browser: Browser
    url: str
    kept: BrowserContext
    wrong: list[str] = dataclasses.field(default_factory=list)

    def page(self, session: str = "", **options: Any) -> Page:
        """A page of somebody; with a session they are signed in. With options their browser is a new one."""
        is_new = bool(options or self.kept.pages)
        context = self.browser.new_context(reduced_motion="reduce", **options) if is_new else self._emptied()
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        self._watch(page)
        if session:
            self.enter(page, session)
        return page

    def enter(self, page: Page, session: str) -> None:
        """Have somebody be signed in."""
        page.context.add_cookies([cookie(self.url, session)])

    def _emptied(self) -> BrowserContext:
        self.kept.clear_cookies()
        return self.kept

    def _watch(self, page: Page) -> None:
        def asked(address: str) -> None:
            if not address.startswith((self.url, self.url.replace("http", "ws", 1), "data:", "blob:")):
                self.wrong.append(f"it asks another host: {address}")

        page.on("request", lambda request: asked(request.url))
        page.on("websocket", lambda socket: asked(socket.url))
        page.on("pageerror", lambda error: self.wrong.append(f"a script failed: {error}"))
        page.on("console", lambda said: self._heard(said.type, said.text))

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error" and "the server responded with a status of 4" not in text:
            self.wrong.append(f"the console says: {text}")


@pytest.fixture(scope="module")
def chromium_of_playwright(chromium: str) -> Iterator[Browser]:
    """The browser of this machine, driven by Playwright. As long as it is, no other test can have an event loop."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@contextlib.contextmanager
def serving_web(made_home: Path, folder: Path, *words: str, **environment: str) -> Iterator[Web]:
    """The web app, of a home of its own."""
    home = folder / "home"
    copy_home(made_home, home)
    with App(Settings(home=home)) as app:
        server = Web(app, folder / "serve.log", words, environment)
        server.start()
        try:
            yield server
        finally:
            if not server.ended():
                server.stop()


@pytest.fixture(scope="module")
def web(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web app; the tests of a module share it."""
    with serving_web(made_home, tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture(scope="module")
def kept_context(chromium_of_playwright: Browser) -> BrowserContext:
    """A browser that has seen the web app before."""
    return chromium_of_playwright.new_context(reduced_motion="reduce")


@pytest.fixture
def browsing(web: Web, chromium_of_playwright: Browser, kept_context: BrowserContext) -> Iterator[Browsing]:
    """A browser for the web app. At the end nothing may have gone wrong in it that the test did not want."""
    found = Browsing(chromium_of_playwright, web.url, kept_context)
    yield found
    for context in chromium_of_playwright.contexts:
        if context is not kept_context:
            context.close()
    for page in kept_context.pages:
        page.close()
    assert found.wrong == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which looks whether a page can be used by everybody."""
    if why := node_senders.missing():
        pytest.skip(why)
    return (node_senders.installed(_AXE) / "axe-core" / "axe.min.js").read_text()


def violations(page: Page, axe: str) -> list[str]:
    """What is wrong with a page by WCAG 2.2 AA, and by what is held to be good."""
    # Colours that are on their way from one theme to the other are nobody's.
    page.evaluate("document.getAnimations().filter(one => one instanceof CSSTransition).map(one => one.finish())")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)  # a script of the page's own would be refused by its policy
    options = {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        "resultTypes": ["violations"],
        "preload": False,
    }
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['id']}: {one['help']}: "
        + "; ".join(f"{node['target']} {node.get('failureSummary')}" for node in one["nodes"][:3])
        for one in found["violations"]
    ]
