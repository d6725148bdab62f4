"""How a page looks, to everybody: in both themes and at several widths, by axe-core and by what sticks out.

``TIDEMILL_TEST_PICTURES=FOLDER`` has a screenshot made of each page in each look, for who wants to see them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.web_server import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

Look = tuple[Literal["light", "dark"], int]
#: A theme each on a phone and on a desk. `make torture` has the others.
USUAL: tuple[Look, ...] = (("light", 360), ("dark", 1440))
OTHERS: tuple[Look, ...] = (("dark", 360), ("light", 1440))
#: At these it is looked only whether all is in its place.
_BETWEEN, _WIDEST = 768, 2560
_PICTURES = os.environ.get("TIDEMILL_TEST_PICTURES")
#: What is wider than the page, and what nobody can read at a glance: lines of far more than a hundred letters.
_OUT_OF_PLACE = """(most) => {
  const found = [];
  const root = document.documentElement, content = document.querySelector("#content") ?? root;
  if (root.scrollWidth > root.clientWidth) found.push("something sticks out");
  if (content !== root && content.getBoundingClientRect().width > 1680) found.push("the content is too wide");
  for (const one of content.querySelectorAll("p, dd, li:not(:has(p), .log li)")) {
    const range = document.createRange();
    range.selectNodeContents(one);
    if (one.querySelector("input, .table-scroll, .command, .progress")) continue;
    const width = range.getBoundingClientRect().width;
    if (one.textContent.trim().length > 110 && width > most * parseFloat(getComputedStyle(one).fontSize))
      found.push(`a long line: ${one.textContent.trim().slice(0, 60)}`);
  }
  return found;
}"""
_MOST_EM = 56


def assert_usable(page: Page, axe: str, name: str) -> None:
    """Everybody can use this page, as it is now, and it looks as it is meant to."""
    found = wrong_with(page, axe, name)
    assert not found, found


def wrong_with(page: Page, axe: str, name: str, looks: tuple[Look, ...] = USUAL) -> dict[str, list[str]]:
    """What of that is not so, by the look."""
    _picture(page, name)
    wrong = {}
    themes = {width: theme for theme, width in looks}
    for width in sorted({*themes, _BETWEEN, _WIDEST}):
        _look(page, themes.get(width), width)
        found = _out_of_place(page)
        if width in themes:
            found += violations(page, axe)
        if found:
            wrong[f"{name}, {themes.get(width, 'also')} at {width}"] = found
    _look(page, "light", 1280)
    return wrong


def _look(page: Page, theme: Literal["light", "dark"] | None, width: int) -> None:
    if theme is not None:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})


def _out_of_place(page: Page) -> list[str]:
    found: list[str] = page.evaluate(_OUT_OF_PLACE, _MOST_EM)
    return found


def _picture(page: Page, name: str) -> None:
    if not _PICTURES:
        return
    page.wait_for_timeout(500)  # charts are drawn
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for theme in themes:
        for width in (360, _BETWEEN, 1440, _WIDEST):
            _look(page, theme, width)
            page.wait_for_timeout(150)
            page.screenshot(path=Path(_PICTURES, f"{name}-{theme}-{width}.png"), full_page=True)
