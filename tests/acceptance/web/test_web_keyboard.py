"""All of it by the keyboard alone: one sees where one is, comes everywhere, out of everything, and back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.acceptance.web.filled import PASSWORD, fill
from tests.capture_server import until
from tests.web_server import Browsing, Web

#: What has the focus: its words, whether one sees that, and whether something stands before it.
_FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const x = Math.min(Math.max(box.left + Math.min(box.width / 2, 40), 0), innerWidth - 1);
  const y = Math.min(Math.max(box.top + Math.min(box.height / 2, 20), 0), innerHeight - 1);
  const at = document.elementFromPoint(x, y);
  const ringed = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const label = one.labels?.[0];
  const labelled = label?.contains(one) ? label.querySelector("span")?.textContent : label?.firstChild?.textContent;
  return {
    words: (one.getAttribute("aria-label") || labelled || one.textContent || one.id).trim(),
    id: one.id, tag: one.tagName,
    inside: one.closest("header") ? "header" : one.closest("[role=dialog]") ? "dialog"
      : one.closest("#navigation, #content")?.id,
    seen: ringed(style),
    covered: !(at && (one.contains(at) || at.contains(one) || label?.contains(at))),
  };
}"""


@pytest.fixture(scope="module", autouse=True)
def filled(web: Web) -> None:
    fill(web.app, hostile=False)


def focused(page: Page) -> Any:
    return page.evaluate(_FOCUSED)


def tab_to(page: Page, words: str | re.Pattern[str], *, most: int = 90, key: str = "Tab") -> None:
    """Go on until it has the focus; each that has it on the way is seen."""
    passed = []
    for _ in range(most):
        page.keyboard.press(key)
        found = focused(page)
        if found is None:
            continue
        passed.append(found["words"])
        assert found["seen"], f"nobody sees that {found} has the focus"
        until(lambda: not focused(page)["covered"], f"nothing stands before {found}")  # a dialog may be on its way
        if found["words"] == words if isinstance(words, str) else words.search(found["words"]):
            return
    pytest.fail(f"{words} is not among {passed}")


def enter(page: Page) -> None:
    """Wait for a page, and skip what is above its content."""
    page.wait_for_selector("main h1")
    page.wait_for_function("globalThis.did_handshake !== false")
    page.keyboard.press("Tab")
    assert focused(page)["words"] == "Skip to the content"
    assert not focused(page)["covered"]
    page.keyboard.press("Enter")
    assert focused(page)["id"] == "content"


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    enter(page)


def test_one_signs_in_walks_through_the_page_and_goes_to_another(web: Web, browsing: Browsing) -> None:
    page = browsing.page()
    page.goto(f"{web.url}/sign-in")
    page.keyboard.type("root")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    enter(page)
    page.keyboard.press("Tab")
    assert focused(page)["inside"] == "content", "it is not gone through the navigation again"

    page.reload()
    page.wait_for_selector("main h1")
    page.wait_for_function("globalThis.did_handshake !== false")
    walked = []
    for _ in range(100):
        page.keyboard.press("Tab")
        if (found := focused(page)) is None:
            break  # it is not kept in the page
        assert found["seen"], found
        assert not found["covered"], found
        walked.append(found)
    else:
        pytest.fail("there is no end")
    parts = [one["inside"] for one in walked]
    assert parts == sorted(parts, key=["header", "navigation", "content"].index), "from above to below"
    places = [one["words"] for one in walked if one["inside"] == "navigation"]
    assert places == page.locator("#navigation a").all_inner_texts()

    page.keyboard.press("Tab")
    tab_to(page, re.compile("Account of"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Change password")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page)["words"] == "Change password"
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Change password")).to_be_hidden()
    assert "Account of" in focused(page)["words"]
    tab_to(page, "Exports")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Exports")).to_be_visible()


def test_a_table_is_searched_sorted_and_opened(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    open_page(page, f"{web.url}/exports")
    rows = page.locator("main tbody tr")
    tab_to(page, "Search names")
    page.keyboard.type("s")
    expect(rows).to_have_count(4)
    page.keyboard.type("ess")
    expect(rows).to_have_count(1)
    assert focused(page)["words"] == "Search names", "it is not taken away from who types"
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    expect(rows).to_have_count(4)
    tab_to(page, "Status")
    page.keyboard.type("fa")
    expect(rows).to_have_count(2)
    assert focused(page)["words"] == "Status"
    tab_to(page, "Name")
    page.keyboard.press("Enter")
    header = page.get_by_role("columnheader", name="Name")
    expect(header).to_have_attribute("aria-sort", "descending")
    assert focused(page)["words"] == "Name"
    tab_to(page, "purchases")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="purchases")).to_be_visible()


def test_a_dialog_keeps_the_focus_and_gives_it_back(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    open_page(page, f"{web.url}/settings/users")
    dialog = page.get_by_role("dialog")
    for opener in ("Add a user", "Delete: ben"):
        tab_to(page, opener)
        page.keyboard.press("Enter")
        expect(dialog).to_be_visible()
        for _ in range(12):
            page.keyboard.press("Tab")
            assert (found := focused(page)) is None or found["inside"] == "dialog", f"{found} is behind the dialog"
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.wait_for_function("document.activeElement !== document.body")
        assert focused(page)["words"] == opener
    tab_to(page, "Disable: ben", key="Shift+Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("They are signed out at once")
    tab_to(page, "Disable")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Enable: ben")).to_be_visible()
    page.wait_for_function("document.activeElement !== document.body")
    assert focused(page)["words"] == "Enable: ben"


def test_an_export_is_made_by_the_wizard(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    open_page(page, f"{web.url}/exports")
    tab_to(page, "New export")
    page.keyboard.press("Enter")
    page.wait_for_url("**/exports/new/data*")
    enter(page)
    tab_to(page, re.compile("^Events"))
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile("model=persons"))
    _next(page, "schema")
    _next(page, "destination")
    tab_to(page, re.compile("^Name of the export"))
    page.keyboard.type("by keyboard")
    tab_to(page, re.compile("^Table"))
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("people")
    _next(page, "schedule")
    tab_to(page, re.compile("^When"))
    page.keyboard.type("By hand")
    _next(page, "test")
    tab_to(page, "Finish without a test")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by keyboard")).to_be_visible()
    made = web.app.exports.listed.get("by keyboard").spec
    assert (made.model, made.table, made.schedule.interval) == ("persons", "people", None)


def _next(page: Page, step: str) -> None:
    tab_to(page, "Next")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/exports/new/{step}*")
    enter(page)
