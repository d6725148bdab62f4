"""A new export of a query of one's own, in a browser: its columns are shown, and what is wrong with it is said."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.web_server import Browsing, Web


def test_the_columns_of_a_query_are_shown(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/exports/new/data")
    page.get_by_role("radio", name="Rows of a query").check()
    page.get_by_role("textbox", name="Query").fill("SELECT 1 AS one, 'two' AS two")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("alert")).to_contain_text("Each run would append all rows")
    page.get_by_role("textbox", name="Key").fill("one")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("rowheader", name="two")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("There is no connection yet")).to_be_visible()
