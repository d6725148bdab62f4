"""Connections in the web app: what is missing is said, how one is used, changed, and deleted before one's eyes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from tests import imports
from tests.deleting import SLOW, fired, is_gone, jobs
from tests.installation import CONNECTION, Installation
from tests.streams import eventually
from tests.web_looks import assert_usable
from tests.web_server import Browsing, Web

from tidemill.access.roles import Role
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery
from tidemill.imports.spec import Kind

NEW = "/connections/new/bigquery"


@pytest.fixture
def dataset(local_bigquery: LocalBigQuery) -> str:
    """A dataset of the test's own."""
    name = f"d_{os.urandom(6).hex()}"
    local_bigquery.set_faults([])
    local_bigquery.create_dataset(name, "EU")
    return name


def test_what_is_missing_is_said_with_the_command_and_a_reload_loses_only_the_key(
    web: Web, browsing: Browsing, local_bigquery: LocalBigQuery, dataset: str, axe: str
) -> None:
    page = browsing.page(web.user())
    page.goto(web.url + NEW)
    key = json.dumps(local_bigquery.key("web-poor", deny=["bigquery.tables.updateData"]))
    assert_usable(page, axe, "connection-new")
    page.get_by_label("Name", exact=True).fill("poor")
    page.get_by_label("Service account key", exact=True).fill(key)
    page.get_by_label("Dataset", exact=True).fill(dataset)
    page.get_by_label("Dataset", exact=True).blur()
    expect(page.get_by_text(f"ON SCHEMA `{DEFAULT_PROJECT}.{dataset}`")).to_be_visible()
    page.get_by_role("button", name="Terraform").click()
    expect(page.get_by_text('resource "google_project_iam_custom_role"')).to_be_visible()
    page.get_by_role("button", name="Test and save").click()
    failed = page.locator(".step-bad")
    expect(failed).to_be_visible()
    expect(failed).to_contain_text("bigquery.tables.updateData")
    expect(failed.get_by_role("button", name="Copy the command").first).to_be_visible()
    expect(page.get_by_text("Not saved.")).to_be_visible()
    assert_usable(page, axe, "connection-broken")
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("poor")
    expect(page.get_by_label("Dataset", exact=True)).to_have_value(dataset)
    expect(page.get_by_label("Service account key", exact=True)).to_have_value("")
    assert [one.name for one in web.app.connections.find() if one.name == "poor"] == []


@pytest.fixture
def installed(web: Web, local_bigquery: LocalBigQuery, dataset: str) -> Iterator[Installation]:
    """The installation whose web app is served, with a dataset of the test's own; its jobs are as fast as before."""
    home = web.app.settings.home_path
    yield Installation(home, local_bigquery, dataset, {**os.environ, "TIDEMILL_HOME": str(home), "COLUMNS": "200"})
    local_bigquery.set_faults([])
    for one in web.app.connections.find():
        if one.name == CONNECTION:
            web.app.connection_users.delete(CONNECTION, by="tests", say=lambda _: None, wait_seconds=60)


def test_one_with_a_running_import_is_deleted_before_ones_eyes(
    web: Web, browsing: Browsing, installed: Installation, axe: str
) -> None:
    shop = imports.prepare(web.app, installed, access="read-only")
    shop.ask("CREATE TABLE `{d}.people` AS SELECT 'a' AS id, 'Ada' AS name")
    imports.make(web.app, shop, "crm people", "people", Kind.PEOPLE, {"identity": "id", "skipped": ["name"]})
    installed.local.set_faults(SLOW)
    process = installed.start("import", "run", "crm people")
    eventually(lambda: fired(installed) and bool(jobs(installed)), "the import is at work")
    page = browsing.page(web.user())
    page.goto(f"{web.url}/connections/{CONNECTION}")
    expect(page.get_by_text("crm people").first).to_be_visible()
    expect(page.get_by_text("At work: run 1")).to_be_visible()
    assert_usable(page, axe, "connection-used")
    page.get_by_role("button", name="Delete").click()
    window = page.get_by_role("dialog")
    expect(window.get_by_text("crm people, import, is stopped and deleted: at work now: run 1.")).to_be_visible()
    delete = window.get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    assert_usable(page, axe, "connection-delete")
    window.get_by_role("button", name="Cancel").click()
    expect(window).to_have_count(0)
    assert web.app.connections.get(CONNECTION).deleting_at is None
    page.get_by_role("button", name="Delete").click()
    window.get_by_role("searchbox").fill(CONNECTION)
    expect(delete).to_be_enabled()
    delete.click()
    expect(page.get_by_text("It is being deleted")).to_be_visible()
    page.reload()  # it goes on meanwhile
    eventually(lambda: is_gone(web.app), "it is deleted")
    gone = page.get_by_text(f"There is no connection '{CONNECTION}'").or_(page.get_by_text("is deleted"))
    expect(gone.first).to_be_visible()
    assert process.wait(60) != 0
    process.communicate()
    assert jobs(installed) == []


def test_a_list_has_filters_in_its_url_and_a_viewer_only_looks(
    web: Web, browsing: Browsing, dataset: str, axe: str
) -> None:
    connections = web.app.connections
    for name, by in (("by ana", "ana"), ("x.y z", "ben")):
        connections.add(connections.draft(name=name, adc=True, project="acme-product", dataset=dataset), by=by)
    page = browsing.page(web.user("viola", Role.VIEWER))
    page.goto(f"{web.url}/connections?by=ana")
    expect(page.get_by_role("link", name="by ana")).to_be_visible()
    expect(page.get_by_role("link", name="x.y z")).to_have_count(0)
    page.get_by_label("Connected by").select_option("ben")
    expect(page.get_by_role("link", name="x.y z")).to_be_visible()
    expect(page).to_have_url(re.compile("by=ben"))
    page.get_by_label("Connected on").fill("2020-01-01")
    page.get_by_label("to", exact=True).fill("2020-01-02")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    assert_usable(page, axe, "connections")
    expect(page.get_by_role("link", name="Add a connection")).to_have_count(0)
    page.get_by_role("link", name="x.y z").click()
    expect(page.get_by_role("heading", name="x.y z")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    for tab in ("Test", "Set-up", "Reverse ETL and imports"):
        page.get_by_role("link", name=tab, exact=True).click()
        assert_usable(page, axe, f"connection-{tab.split()[0].lower()}")
    expect(page.get_by_role("button", name="Test and enable")).to_have_count(0)
    page.get_by_role("link", name="Test", exact=True).click()
    expect(page.get_by_text("It was not tested yet.")).to_be_visible()
    expect(page.get_by_role("button", name="Test it now")).to_have_count(0)
    page.goto(web.url + NEW)
    expect(page.get_by_text("you may not see this page")).to_be_visible()


def test_a_source_is_enabled_and_disabled(web: Web, browsing: Browsing, installed: Installation) -> None:
    installed.connect(web.app)
    page = browsing.page(web.user())
    page.goto(f"{web.url}/connections/{CONNECTION}?tab=source")
    page.get_by_label("State in the warehouse, made for you").check()
    page.get_by_label("Dataset for the state").fill(f"{installed.dataset}_state")
    page.get_by_role("button", name="Test and enable").click()
    expect(page.get_by_text("Enabled", exact=True)).to_be_visible()
    source = web.app.reverse_etl.sources.get(CONNECTION)
    assert (source.access, source.state_dataset) == ("full", f"{installed.dataset}_state")
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Disabled", exact=True)).to_be_visible()
    assert web.app.reverse_etl.sources.of(CONNECTION) is None


def test_one_is_changed_without_its_key_and_a_dataset_is_created(
    web: Web, browsing: Browsing, installed: Installation, axe: str
) -> None:
    installed.connect(web.app)
    page = browsing.page(web.user())
    page.goto(f"{web.url}/connections/{CONNECTION}")
    page.get_by_role("link", name="Change").click()
    expect(page.get_by_label("Dataset", exact=True)).to_have_value(installed.dataset)
    page.get_by_label("Dataset", exact=True).fill(f"{installed.dataset}_new")
    page.get_by_label("Create the dataset if it is not there").check()
    page.get_by_role("button", name="Test and save").click()
    expect(page.get_by_text("A new dataset needs a location")).to_be_visible()
    assert_usable(page, axe, "connection-edit")
    page.get_by_label("Location", exact=False).first.fill("EU")
    page.get_by_role("button", name="Test and save").click()
    expect(page.get_by_text(f"The connection {CONNECTION} is saved.")).to_be_visible()
    saved = web.app.connections.get(CONNECTION)
    assert (saved.dataset, saved.location) == (f"{installed.dataset}_new", "EU")
