"""The whole path of an export in a browser: made step by step, run by a worker, backfilled; and a server that dies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.installation import Installation, write_events
from tests.web_server import Browsing, Web

ROWS = 300
PATIENCE = 120_000


@pytest.fixture
def web(installation: Installation, tmp_path: Path) -> Iterator[Web]:
    """The web app and a worker, with events to export and a connection to the embedded BigQuery."""
    write_events(tmp_path / "events.jsonl", ROWS)
    with installation.app() as app:
        installation.connect(app)
        app.events.load(str(tmp_path / "events.jsonl"), team_id=1)
        server = Web(app, tmp_path / "serve.log", ("--role", "worker"))
        server.start()
        try:
            yield server
        finally:
            if not server.ended():
                server.stop()


def make(page: Page, web: Web) -> None:
    """Go through the steps of a new export, back and forward, and with a reload in between."""
    page.goto(f"{web.url}/exports")
    page.get_by_role("link", name="New export").first.click()
    page.get_by_label("Not these events").fill("event 3")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("rowheader", name="distinct_id")).to_be_visible()
    page.get_by_role("switch").check()
    expect(page.get_by_role("row", name=re.compile("^properties JSON"))).to_be_visible()
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name of the export").fill("daily events")
    page.get_by_label("Table", exact=True).fill("from_web")
    page.get_by_label("Table", exact=True).blur()
    expect(page).to_have_url(re.compile("table=from_web"))
    page.reload()
    expect(page.get_by_label("Name of the export")).to_have_value("daily events")
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("switch")).to_be_checked()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("Not these events")).to_have_value("event 3")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("switch")).to_be_checked()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_label("Table", exact=True)).to_have_value("from_web")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("When").select_option("cron")
    page.get_by_label("Cron expression").fill("every now and then")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("When").select_option("none")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Test it").click()
    expect(page.get_by_role("button", name="Finish", exact=True)).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("heading", name="What was sent")).to_be_visible()
    expect(page.get_by_role("region", name="Some of the rows")).to_contain_text("user-")
    page.get_by_role("button", name="Finish", exact=True).click()
    expect(page.get_by_role("heading", name="daily events")).to_be_visible()


def test_an_export_is_made_run_and_backfilled(web: Web, browsing: Browsing, installation: Installation) -> None:
    page = browsing.page(web.user())
    make(page, web)
    page.get_by_role("button", name="Run now").click()
    expect(page).to_have_url(re.compile("wanted="))
    page.reload()
    expect(page.get_by_text("Done.", exact=True)).to_be_visible(timeout=PATIENCE)
    table = page.get_by_role("region", name="Runs")
    expect(table).to_contain_text("Completed")
    rows = installation.rows("from_web")
    assert len(rows) == sum(number % 7 != 3 for number in range(ROWS))
    assert isinstance(rows[0]["properties"], dict)
    table.get_by_role("link", name="Run 1").click()
    expect(page.get_by_role("link", name="In the console").first).to_have_attribute(
        "href", re.compile("console.cloud.google.com/bigquery.*bq%3AEU%3Atidemill_")
    )
    expect(page.get_by_role("rowheader", name="Attempt 1")).to_be_visible()
    page.goto(f"{web.url}/exports/daily%20events?tab=backfills")
    page.get_by_role("button", name="Begin a backfill").click()
    page.get_by_label("Size of its intervals").select_option("week")
    page.get_by_role("button", name="Estimate").click()
    expect(page.get_by_text(f"It would move {len(rows):,} rows")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Begin it").click()
    expect(page.locator("td[data-title=Status]")).to_contain_text("Completed", timeout=PATIENCE)
    assert len(installation.rows("from_web")) == len(rows), "no row is there twice"
    page.goto(f"{web.url}/exports/daily%20events?tab=verify")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("All rows are there, each once.")).to_be_visible(timeout=PATIENCE)
    page.goto(f"{web.url}/jobs")
    expect(page.get_by_role("region", name="All jobs")).to_contain_text("daily events")


def test_a_page_outlives_its_server(web: Web, browsing: Browsing) -> None:
    made, _ = web.app.exports.create("warehouse", {"name": "live", "table": "live", "interval": "none"}, by="tests")
    page = browsing.page(web.user())
    page.goto(f"{web.url}/exports/{made.name}")
    expect(page.get_by_text("It has not run yet")).to_be_visible()
    assert web.process is not None
    port = web.url.rpartition(":")[2]
    web.process.kill()
    web.process.wait(60)
    expect(page.locator("#popup")).to_be_visible(timeout=PATIENCE)
    web.log.write_text("")
    web.words = ("--role", "worker", "--web-port", port)
    web.start()
    web.app.exports.triggers.run(made.name, by="tests")
    expect(page.get_by_role("region", name="Runs")).to_contain_text("Completed", timeout=2 * PATIENCE)
    browsing.wrong.clear()  # it has lost its connection meanwhile


def test_an_export_is_changed_and_deleted(web: Web, browsing: Browsing) -> None:
    web.app.exports.create("warehouse", {"name": "old", "table": "changed", "interval": "hour"}, by="tests")
    web.app.exports.create("warehouse", {"name": "live", "table": "live", "mode": "stream"}, by="tests")
    page = browsing.page(web.user())
    page.goto(f"{web.url}/exports/old?tab=configuration")
    page.get_by_label("Name").fill("new name")
    page.get_by_label("When").select_option("day")
    page.get_by_label("Offset").fill("1x")
    page.get_by_label("Not these events").fill("event 3\nevent 4")
    save, dialog = page.get_by_role("button", name="Save"), page.get_by_role("dialog")
    save.click()
    expect(dialog).to_contain_text("Rows that are in it stay")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("1x")
    page.get_by_label("Offset").fill("3h")
    save.click()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="new name")).to_be_visible()
    made = web.app.exports.listed.get("new name").spec
    assert made.exclude_events == ("event 3", "event 4")
    assert (str(made.schedule.interval), made.schedule.offset) == ("day", 10_800)
    assert web.app.audit.find(kind="export", name="old")
    page.goto(f"{web.url}/exports/live?tab=configuration")
    expect(page.get_by_role("button", name="Run now")).to_have_count(0)
    page.get_by_label("So many seconds are waited for more").fill("2.5")
    save.click()
    expect(page.get_by_text("The changes are saved")).to_be_visible()
    assert web.app.exports.listed.get("live").spec.buffer_seconds == 2.5
    page.get_by_role("button", name="Delete the export").click()
    dialog.get_by_label("Type live to go on").fill("live")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Exports")).to_be_visible()
    assert [one.name for one in web.app.exports.listed.exports().items] == ["new name"]
