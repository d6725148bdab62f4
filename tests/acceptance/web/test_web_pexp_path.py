"""The first path, as a person goes it: an account, a key, events, a connection, an export, its rows in BigQuery, their
backfill; with a reload, and a server that dies, on the way. And how an export is changed and deleted."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from tests.installation import Installation
from tests.web_server import PASSWORD, Browsing, Web

from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery

LEFT_OUT = "event 3"
EVENTS = [
    {
        "uuid": f"00000000-0000-7000-8000-{number:012d}",
        "event": f"event {number % 7}",
        "distinct_id": f"user-{number % 100}",
        "timestamp": f"2026-01-{1 + number % 28:02d}T00:00:{number % 60:02d}+00:00",
        "properties": {"number": number, "text": f"<b>{number}</b>, é"},
    }
    for number in range(300)
]
PATIENCE = 120_000


@pytest.fixture(scope="module")
def installation(local_bigquery: LocalBigQuery, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A home that is not there yet, and a fresh dataset."""
    dataset = f"d_{os.urandom(6).hex()}"
    local_bigquery.set_faults([])
    local_bigquery.create_dataset(dataset, "EU")
    return Installation(tmp_path_factory.mktemp("path") / "home", local_bigquery, dataset, {})


@pytest.fixture(scope="module")
def web(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """All of a server, which makes the home."""
    app = installation.app()
    server = Web(app, tmp_path_factory.mktemp("serve") / "serve.log", ("--port", "0"), whole=True)
    server.start()
    with app:
        try:
            yield server
        finally:
            if not server.ended():
                server.stop()


def test_from_the_set_up_token_to_rows_in_bigquery(web: Web, browsing: Browsing, installation: Installation) -> None:
    page = browsing.page()
    make_the_account(page, web)
    send(web, make_a_key(page))
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_role("region", name="Events, as they arrive")).to_contain_text("event 6")
    connect(page, web, installation)
    make_the_export(page, web, browsing)
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("Done.", exact=True)).to_be_visible(timeout=PATIENCE)
    runs = page.get_by_role("region", name="Runs")
    expect(runs).to_contain_text("Completed")
    assert_exactly_the_events(installation)
    runs.get_by_role("link", name="Run 1").click()
    expect(page.get_by_role("link", name="In the console").first).to_have_attribute(
        "href", re.compile("console.cloud.google.com/bigquery.*bq%3AEU%3Atidemill_")
    )
    expect(page.get_by_role("rowheader", name="Attempt 1")).to_be_visible()
    bring_it_again(page, web)
    assert_exactly_the_events(installation)
    page.get_by_role("link", name=re.compile("Runs of . intervals")).click()
    expect(page.get_by_text("Runs of one backfill.")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("Completed")
    page.goto(f"{web.url}/exports/daily%20events?tab=verify")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("All rows are there, each once.")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("link", name="All jobs").click()
    expect(page.get_by_role("region", name="All jobs")).to_contain_text("daily events")


def make_the_account(page: Page, web: Web) -> None:
    """With the token that the server has printed."""
    found = re.search(r"(http://\S+/set-up\?token=\S+)", web.said)
    assert found is not None, web.said
    page.goto(found[1])
    for name, text in {"name": "root", "password": PASSWORD, "again": PASSWORD}.items():
        page.fill(f"#{name}", text)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text("three ways to begin")).to_be_visible()


def make_a_key(page: Page) -> str:
    """For an SDK; it is shown once."""
    page.get_by_role("link", name="Make a key").click()
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Name", exact=True).fill("site")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("[role=dialog] .command code").inner_text()
    page.get_by_role("button", name="Done").click()
    return key


def send(web: Web, key: str) -> None:
    """As SDKs do."""
    found = re.search(r"Taking events at (\S+)", web.said)
    assert found is not None, web.said
    body = json.dumps({"api_key": key, "batch": EVENTS}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{found[1]}/batch/", body), timeout=60) as answer:  # noqa: S310
        assert answer.status == 200


def connect(page: Page, web: Web, installation: Installation) -> None:
    """By a key that is pasted; one that is none is refused before."""
    page.get_by_role("link", name="Connections", exact=True).click()
    page.get_by_role("link", name="Add a connection").first.click()
    page.get_by_label("Name", exact=True).fill("first")
    key = page.get_by_label("Service account key", exact=True)
    key.fill('{"type": "authorized_user"}')
    key.blur()
    expect(page.get_by_text("it is the credential of a person")).to_be_visible()
    key.fill(json.dumps(installation.local.key("web-first")))
    key.blur()
    expect(page.get_by_label("Project", exact=False).first).to_have_value(DEFAULT_PROJECT)
    page.get_by_label("Dataset", exact=True).fill(installation.dataset)
    page.get_by_role("button", name="Test and save").click()
    expect(page.get_by_text("The connection first is saved.")).to_be_visible()
    saved = web.app.connections.get("first")
    assert (saved.dataset, saved.location, saved.connected_by) == (installation.dataset, "EU", "root")
    assert "private_key" not in page.content()
    page.get_by_role("link", name="Connections", exact=True).first.click()
    expect(page.get_by_role("row", name=re.compile("first"))).to_contain_text("Ready")


def make_the_export(page: Page, web: Web, browsing: Browsing) -> None:
    """Go through the steps, back and forward, with a reload and another server in between."""
    page.get_by_role("link", name="Exports", exact=True).click()
    page.get_by_role("link", name="New export").first.click()
    page.get_by_label("Not these events").fill(LEFT_OUT)
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
    expect(page.get_by_label("Not these events")).to_have_value(LEFT_OUT)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("switch")).to_be_checked()
    page.get_by_role("button", name="Next").click()
    kill_and_start(page, web, browsing)
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


def kill_and_start(page: Page, web: Web, browsing: Browsing) -> None:
    """The server dies under the page, and is begun again: the page goes on by itself."""
    expect(page.get_by_label("Table", exact=True)).to_be_visible()
    page.evaluate("window.before = true")
    assert web.process is not None
    port = web.url.rpartition(":")[2]
    web.process.kill()
    web.process.wait(60)
    expect(page.locator("#popup")).to_be_visible(timeout=PATIENCE)
    web.log.write_text("")
    web.words = ("--port", "0", "--web-port", port)
    web.start()
    page.wait_for_function("!window.before && document.querySelector('main h1')", timeout=PATIENCE)
    browsing.wrong.clear()  # it has lost its connection meanwhile


def bring_it_again(page: Page, web: Web) -> None:
    """A backfill of all."""
    page.goto(f"{web.url}/exports/daily%20events?tab=backfills")
    page.get_by_role("button", name="Begin a backfill").click()
    page.get_by_label("Size of its intervals").select_option("week")
    page.get_by_role("button", name="Estimate").click()
    rows = sum(event["event"] != LEFT_OUT for event in EVENTS)
    expect(page.get_by_text(f"It would move {rows:,} rows")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Begin it").click()
    expect(page.locator("td[data-title=Status]")).to_contain_text("Completed", timeout=PATIENCE)


def assert_exactly_the_events(installation: Installation) -> None:
    """Each that was wanted is in the table once, as it was sent, and nothing else is."""
    wanted = {event["uuid"]: event for event in EVENTS if event["event"] != LEFT_OUT}
    rows = installation.rows("from_web")
    assert sorted(str(row["uuid"]) for row in rows) == sorted(map(str, wanted))
    for row in rows:
        event = wanted[str(row["uuid"])]
        sent = (event["event"], event["distinct_id"], dt.datetime.fromisoformat(str(event["timestamp"])))
        assert (row["event"], row["distinct_id"], row["timestamp"]) == sent
        assert {name: row["properties"][name] for name in ("number", "text")} == event["properties"]


def test_an_export_is_changed_and_deleted(web: Web, browsing: Browsing, installation: Installation) -> None:
    if not web.app.connections.find():
        installation.connect(web.app)
    connection = web.app.connections.find()[0].name
    before = {one.name for one in web.app.exports.listed.exports().items}
    web.app.exports.create(connection, {"name": "old", "table": "changed", "interval": "hour"}, by="tests")
    web.app.exports.create(connection, {"name": "live", "table": "live", "mode": "stream"}, by="tests")
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
    assert {one.name for one in web.app.exports.listed.exports().items} - before == {"new name"}
