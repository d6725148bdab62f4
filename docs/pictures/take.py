"""Screenshots of the main pages: ``python -m docs.pictures.take``, or ``make pictures``. Chromium has to be there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from tests.acceptance.web.filled import fill
from tests.sdks.browser import found
from tests.web_server import Web, cookie

from tidemill.app import App
from tidemill.settings import Settings

HERE = Path(__file__).parent

SIZE = {"width": 1280, "height": 800}
PAGES = {
    "home": "/",
    "exports": "/exports",
    "export": "/exports/events?tab=metrics",
    "connections": "/connections",
    "new-export": "/exports/new/schema",
    "audit": "/settings/audit",
}
DARK = {"home", "export"}


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as name, App(Settings(home=Path(name, "home"))) as app:
        fill(app, hostile=False)
        server = Web(app, Path(name, "serve.log"))
        server.start()
        try:
            _take(server)
        finally:
            server.stop()


def _take(server: Web) -> None:
    session = server.user()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(), args=["--no-sandbox", "--disable-gpu"])
        for theme in ("light", "dark"):
            context = browser.new_context(color_scheme=theme, viewport=SIZE, reduced_motion="reduce")
            context.add_cookies([cookie(server.url, session)])
            page = context.new_page()
            for name, path in PAGES.items():
                if theme == "dark" and name not in DARK:
                    continue
                page.goto(server.url + path)
                page.wait_for_selector("main h1")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(800)  # charts are drawn
                page.screenshot(path=HERE / f"{name}{'-dark' if theme == 'dark' else ''}.png")
        browser.close()


if __name__ == "__main__":
    main()
