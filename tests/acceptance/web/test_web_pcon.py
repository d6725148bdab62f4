"""The first path in the web app: the first account, a connection by a pasted key, its test; and how one is deleted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.installation import CONNECTION, Installation
from tests.web_server import PASSWORD, Browsing, Web, serving_web, violations

from tidemill.access.roles import Role
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery

WIDTHS = (360, 1440)
EVIL = "<img src=x onerror=alert(1)>"
#: Where screenshots go, for who wants to look at them.
PICTURES = os.environ.get("TIDEMILL_TEST_PICTURES")
NEW = "/connections/new/bigquery"


@pytest.fixture
def dataset(local_bigquery: LocalBigQuery) -> str:
    """A dataset of the test's own."""
    name = f"d_{os.urandom(6).hex()}"
    local_bigquery.set_faults([])
    local_bigquery.create_dataset(name, "EU")
    return name


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(500)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                page.wait_for_timeout(150)
                page.screenshot(path=Path(PICTURES, f"{name}-{theme}-{width}.png"), full_page=True)
        page.emulate_media(color_scheme="light")


def usable(page: Page, axe: str, name: str) -> None:
    """It can be used by everybody, in both themes, on a phone and on a desk."""
    picture(page, name)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
            assert violations(page, axe) == []


def test_from_the_set_up_token_to_a_connection_that_is_tested(
    web: Web, browsing: Browsing, local_bigquery: LocalBigQuery, dataset: str, axe: str
) -> None:
    found = re.search(r"(http://\S+/set-up\?token=\S+)", web.said)
    assert found is not None
    page = browsing.page()
    page.goto(found[1])
    for name, text in {"name": "root", "password": PASSWORD, "again": PASSWORD}.items():
        page.fill(f"#{name}", text)
    page.click("button[type=submit]")
    page.get_by_role("link", name="Connect BigQuery").click()
    expect(page.get_by_text("No connection yet")).to_be_visible()
    page.get_by_role("link", name="Add a connection").last.click()
    expect(page.get_by_role("heading", name="Add a connection")).to_be_visible()

    page.get_by_label("Name", exact=True).fill("warehouse")
    key = page.get_by_label("Service account key", exact=True)
    key.fill('{"type": "authorized_user"}')
    key.blur()
    expect(page.get_by_text("it is the credential of a person")).to_be_visible()
    key.fill(json.dumps(local_bigquery.key("web-first")))
    key.blur()
    expect(page.get_by_label("Project", exact=False).first).to_have_value(DEFAULT_PROJECT)
    page.get_by_label("Dataset", exact=True).fill(dataset)
    page.get_by_label("Dataset", exact=True).blur()
    expect(page.get_by_text(f"ON SCHEMA `{DEFAULT_PROJECT}.{dataset}`")).to_be_visible()
    page.get_by_role("button", name="Terraform").click()
    expect(page.get_by_text('resource "google_project_iam_custom_role"')).to_be_visible()
    usable(page, axe, "connection-new")
    page.get_by_role("button", name="Test and save").click()
    expect(page).to_have_url(re.compile("/connections/warehouse"), timeout=20_000)
    expect(page.get_by_text("The connection warehouse is saved.")).to_be_visible()
    saved = web.app.connections.get("warehouse")
    assert (saved.dataset, saved.location, saved.connected_by) == (dataset, "EU", "root")
    assert "private_key" not in page.content()
    page.goto(f"{web.url}/connections/warehouse?tab=test")
    page.get_by_role("button", name="Test it now").click()
    expect(page.get_by_text("The test is passed.")).to_be_visible(timeout=20_000)


def test_what_is_missing_is_said_with_the_command_and_a_reload_loses_only_the_key(
    web: Web, browsing: Browsing, local_bigquery: LocalBigQuery, dataset: str, axe: str
) -> None:
    page = browsing.page(web.user())
    page.goto(web.url + NEW)
    key = json.dumps(local_bigquery.key("web-poor", deny=["bigquery.tables.updateData"]))
    page.get_by_label("Name", exact=True).fill("poor")
    page.get_by_label("Service account key", exact=True).fill(key)
    page.get_by_label("Dataset", exact=True).fill(dataset)
    page.get_by_role("button", name="Test and save").click()
    failed = page.locator(".step-bad")
    expect(failed).to_be_visible(timeout=20_000)
    expect(failed).to_contain_text("bigquery.tables.updateData")
    expect(failed.get_by_role("button", name="Copy the command").first).to_be_visible()
    expect(page.get_by_text("Not saved.")).to_be_visible()
    usable(page, axe, "connection-broken")
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("poor")
    expect(page.get_by_label("Dataset", exact=True)).to_have_value(dataset)
    expect(page.get_by_label("Service account key", exact=True)).to_have_value("")
    assert [one.name for one in web.app.connections.find() if one.name == "poor"] == []
