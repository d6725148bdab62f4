"""From a table of BigQuery to somebody's server, by a browser alone: a model, a destination, a sync, and its run."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.web_server import Browsing
from tests.web_syncs import Moving, moving, web

__all__ = ["moving", "web"]


def test_rows_of_a_statement_arrive_at_a_webhook(moving: Moving, browsing: Browsing) -> None:
    page = browsing.page(moving.web.user())
    page.set_default_timeout(15_000)
    _add_model(page, moving)
    _add_destination(page, moving)
    page.goto(f"{moving.web.url}/syncs/_new?model=paying&destination=hook")
    email = page.get_by_label("email", exact=True)
    expect(email).to_have_value(":email")  # suggested, by its name
    page.get_by_label("plan", exact=True).select_option(label="– not sent –")
    page.get_by_label("Name", exact=True).fill("paying to hook")
    page.get_by_label("It runs").select_option(label="By hand, or by a trigger")
    page.get_by_role("radio", name="at once").check()
    page.get_by_role("button", name="Make the sync").click()

    page.get_by_role("button", name="Send one row").click()
    expect(page.get_by_text("Delivered", exact=True)).to_be_visible()
    expect(page.get_by_text("POST http://127.0.0.1")).to_be_visible()
    assert len(moving.crm.sent) == 1
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("A run is billed for about")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("link", name="Runs", exact=True).click()
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("Completed", timeout=20_000)
    expect(row.locator("td[data-title=Written]")).to_have_text("20")
    assert moving.crm.people == {str(n): {"id": n, "email": f"p{n}@example.com"} for n in range(20)}


def _add_model(page: Page, moving: Moving) -> None:
    page.goto(f"{moving.web.url}/models/_new")
    page.get_by_label("SQL statement").click()
    page.keyboard.insert_text(f"SELECT id, email, plan FROM `{moving.people.table}` WHERE idd > 0")
    expect(page.get_by_text("BigQuery refuses the statement")).to_be_visible()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(f"SELECT id, email, plan FROM `{moving.people.table}`")
    expect(page.get_by_text("A run reads")).to_be_visible()
    expect(page.get_by_label("Key: id")).to_be_checked()  # proposed
    page.get_by_role("button", name="Show rows").click()
    expect(page.get_by_text("p3@example.com")).to_be_visible()
    page.get_by_role("button", name="Check the key").click()
    expect(page.get_by_text("Each row has a key of its own.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("paying")
    page.get_by_role("button", name="Add the model").click()
    expect(page.get_by_role("heading", name="paying", level=1)).to_be_visible()


def _add_destination(page: Page, moving: Moving) -> None:
    page.goto(f"{moving.web.url}/destinations/_new")
    page.get_by_role("link", name="Webhook").click()
    page.get_by_label("Name", exact=True).fill("hook")
    page.get_by_label("Url").fill("http://127.0.0.1:9/nobody")
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_role("alert")).to_be_visible()
    settings = moving.crm.settings()
    page.get_by_label("Url").fill(settings["url"])
    page.get_by_label("Key").fill(settings["key"])
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="hook", level=1)).to_be_visible()
    assert settings["key"] not in page.content()
