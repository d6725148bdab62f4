"""Each page, in both themes and at several widths: it can be used by everybody, and asks no other host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.acceptance.web.filled import fill
from tests.web_server import Browsing, Web, violations

from tidemill.web.places import PLACES

PATHS = [place.path for place in PLACES if place.listed]
#: Of what is reached from there.
_CHANNEL = "/settings/notifications/on-call"
PATHS += [_CHANNEL, f"{_CHANNEL}?tab=edit"]
WIDTHS = (360, 1440)
#: Where screenshots go, for who wants to look at them.
PICTURES = os.environ.get("TIDEMILL_TEST_PICTURES")


@pytest.fixture(scope="module", autouse=True)
def filled(web: Web) -> None:
    fill(web.app)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_can_be_used_by_everybody(web: Web, browsing: Browsing, axe: str, path: str, theme: str) -> None:
    page = browsing.page(web.user(), color_scheme=theme)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(web.url + path)
        page.wait_for_selector("main h1")
        page.wait_for_function("globalThis.did_handshake !== false")
        if PICTURES:
            name = path.strip("/").replace("/", "-").replace("?", "-") or "home"
            page.wait_for_timeout(600)
            page.screenshot(path=Path(PICTURES, f"{name}-{theme}-{width}.png"), full_page=True)
        assert violations(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"


@pytest.mark.parametrize("path", ["/sign-in", "/set-up", "/account/password"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_door_can_be_used_by_everybody(web: Web, browsing: Browsing, axe: str, path: str, theme: str) -> None:
    session = web.user()
    page = browsing.page(session if path == "/account/password" else "", color_scheme=theme)
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(web.url + path)
    page.wait_for_selector("main h1")
    if PICTURES:
        page.screenshot(path=Path(PICTURES, f"{path.strip('/').replace('/', '-')}-{theme}.png"), full_page=True)
    assert violations(page, axe) == []
