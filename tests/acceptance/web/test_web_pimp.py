"""Imports, events, people and dbt projects in the web app: whole paths, in a real browser, with all that does them."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.capture_server import free_port
from tests.imports import Shop, make, prepare, run
from tests.installation import CONNECTION, Installation
from tests.web_looks import OTHERS, USUAL, Look, wrong_with
from tests.web_server import Browsing, Web, serving_web

from tidemill.access.roles import Role
from tidemill.app import App
from tidemill.bigquery.local.service import LocalBigQuery
from tidemill.events.identity.history import MergeView
from tidemill.imports.spec import Kind
from tidemill.store.dbt_cloud_runs import DbtCloudRuns

EVIL = "<img src=x onerror=document.title='evil'><script>document.title='evil'</script>"


@pytest.fixture(scope="module")
def served(
    made_home: Path, tmp_path_factory: pytest.TempPathFactory, local_bigquery: LocalBigQuery
) -> Iterator[tuple[Web, Shop, str]]:
    """All of a server but its API, with a source that has tables; and where it takes events."""
    dataset, port = f"d_{os.urandom(6).hex()}", free_port()
    local_bigquery.create_dataset(dataset, "EU")
    folder = tmp_path_factory.mktemp("web")
    roles = [word for role in ("capture", "worker", "scheduler") for word in ("--role", role)]
    with serving_web(made_home, folder, *roles, "--port", str(port)) as server:
        installation = Installation(folder / "home", local_bigquery, dataset, {})
        shop = prepare(server.app, installation)
        shop.ask("CREATE TABLE {d}.users (user_id STRING, plan STRING, seats STRING, updated_on TIMESTAMP)")
        shop.ask(
            "INSERT INTO {d}.users VALUES ('ana', 'pro', '5', TIMESTAMP '2026-11-20 08:00:00'), "
            "('ben', 'free', 'five', TIMESTAMP '2026-11-20 09:00:00')"
        )
        yield server, shop, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def web(served: tuple[Web, Shop, str]) -> Web:
    """As other modules have it."""
    return served[0]


def go(page: Any, url: str) -> None:
    """Open a page, and wait until it can be used."""
    page.goto(url)
    page.wait_for_selector("main h1, #content h1")
    page.wait_for_function("globalThis.did_handshake !== false")


def choose(page: Any, label: str, value: str) -> None:
    """Choose in a cell, and wait until the server has taken it."""
    page.get_by_label(label, exact=True).select_option(value)


def test_a_table_becomes_people_by_the_wizard_a_refused_row_is_repaired_and_all_is_undone(
    served: tuple[Web, Shop, str], web: Web, browsing: Browsing, tmp_path: Path
) -> None:
    _, shop, _ = served
    page = browsing.page(web.user())
    go(page, f"{web.url}/imports")
    page.get_by_role("link", name="New import").first.click()
    page.get_by_label("Name", exact=True).fill("users")
    page.get_by_label("Table or view", exact=True).last.fill(shop.name("users"))
    page.get_by_label("Key", exact=True).fill("user_id")
    page.get_by_role("button", name="Make a draft").click()

    page.wait_for_url("**/imports/users/map")
    page.get_by_label("What becomes of user_id").wait_for()
    assert page.get_by_label("What becomes of user_id").input_value() == "identity", "it is proposed"
    page.get_by_role("button", name="See the first rows").click()
    page.get_by_text("Billed for").wait_for()
    choose(page, "What becomes of updated_on", "skip")
    page.get_by_label("Property of updated_on").wait_for(state="detached")
    choose(page, "Type of seats", "integer")
    page.get_by_role("button", name="Save and try it").click()

    page.wait_for_url("**/imports/users/try")
    page.get_by_role("button", name="Try it", exact=True).click()
    page.get_by_text("Would be refused").wait_for()
    page.get_by_text("does not fit", exact=False).first.wait_for()
    assert "five" in page.inner_text("main, #content")
    page.get_by_role("link", name="Go on: when it runs").click()
    page.get_by_label("How often").wait_for()
    page.get_by_role("button", name="Save and run it now").click()

    page.wait_for_url("**/imports/users?tab=runs")
    page.get_by_role("cell", name="Completed").wait_for(timeout=60_000)
    assert json.loads(web.app.identity.show(1, "ana").properties) == {"plan": "pro", "seats": 5}
    page.get_by_role("link", name="Rejects").click()
    page.get_by_text("five").first.wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON lines").click()
    file = tmp_path / "refused.jsonl"
    file.write_text(Path(download.value.path()).read_text().replace('"five"', '"7"'))
    page.get_by_role("button", name="Upload repaired rows").click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Take them in").click()
    page.get_by_text("No row was refused").wait_for()
    assert json.loads(web.app.identity.show(1, "ben").properties)["seats"] == 7

    page.goto(f"{web.url}/syncs/users")  # an import has a page, and permissions, of its own
    page.wait_for_url("**/imports/users")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("All events that it has brought are deleted").wait_for()
    act = page.get_by_role("button", name="Take it back")
    assert act.is_disabled(), "until its name is typed"
    page.get_by_label("Type users to go on").fill("users")
    act.click()
    page.get_by_text("What it has brought is taken back.").wait_for()
    page.get_by_text("Stopped").first.wait_for()
    assert web.app.events.count(distinct_id="ana") == [(None, 0)]


def sent(url: str, key: str, event: dict[str, Any]) -> None:
    """Send an event as PostHog's SDKs do."""
    body = json.dumps({"api_key": key, **event}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/capture/", body), timeout=30) as answer:  # noqa: S310
        assert answer.status == 200


def test_an_event_that_is_sent_appears_by_itself_and_hostile_texts_are_text(
    served: tuple[Web, Shop, str], web: Web, browsing: Browsing
) -> None:
    url = served[2]
    key, _ = web.app.keys.create(team_id=1, name="page", events_per_second=None, by="tests")
    page = browsing.page(web.user("carla", Role.VIEWER))
    go(page, f"{web.url}/events")
    sent(url, key, {"event": EVIL, "distinct_id": EVIL, "properties": {EVIL: [EVIL], "$set": {EVIL: EVIL}}})
    page.get_by_text(EVIL).first.wait_for()
    page.locator("tbody details summary").first.click()
    page.locator("tbody pre", has_text="onerror").first.wait_for()
    for path in ("/events?tab=counts", "/people", f"/people?team=1&id={urllib.parse.quote(EVIL)}"):
        go(page, web.url + path)
        page.wait_for_timeout(300)
        assert page.locator("main img, #content img, #content script[src=x]").count() == 0
        assert "evil" not in page.title().split(" · ")[0] or "<" in page.title()
    page.get_by_text("onerror").first.wait_for()
    assert page.get_by_role("button", name="Delete").count() == 0, "a viewer may not"

    go(page, f"{web.url}/events")
    page.get_by_role("button", name="Pause or go on").click()
    page.get_by_text("Go on").wait_for()
    sent(url, key, {"event": "while paused", "distinct_id": "ana-of-events"})
    go_on = page.get_by_role("button", name="Pause or go on")
    assert page.get_by_text("while paused").count() == 0
    go_on.click()
    page.get_by_text("while paused").first.wait_for()


def test_a_person_is_looked_up_with_ids_and_changes_and_deleted_with_events(
    served: tuple[Web, Shop, str], web: Web, browsing: Browsing
) -> None:
    url = served[2]
    key, _ = web.app.keys.create(team_id=1, name="people", events_per_second=None, by="tests")
    sent(url, key, {"event": "seen", "distinct_id": "device-1"})
    identify = {"$anon_distinct_id": "device-1", "$set": {"plan": "pro"}}
    sent(url, key, {"event": "$identify", "distinct_id": "dora@example.com", "properties": identify})
    history = web.app.identity.history(1, "device-1")
    assert [(one.name, one.value, one.event) for one in history.properties] == [("plan", "pro", "$identify")]
    assert [(one.distinct_id, one.other) for one in history.merges] == [("dora@example.com", "device-1")]
    assert isinstance(history.merges[0], MergeView)
    page = browsing.page(web.user())
    go(page, f"{web.url}/people")
    page.get_by_label("Distinct id").fill("device-1")
    page.get_by_role("button", name="Look up").click()
    page.get_by_role("cell", name="$identify").wait_for()
    page.get_by_role("link", name="Ids and merges").click()
    page.get_by_text("dora@example.com").first.wait_for()
    page.get_by_role("link", name="Events", exact=True).last.click()
    page.get_by_role("cell", name="seen", exact=True).wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="With all events").click()
    page.get_by_label(re.compile("Type device-1")).fill("device-1")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("The person is deleted.").wait_for()
    page.get_by_text("has no person").first.wait_for()
    assert web.app.events.count(distinct_id="device-1") == [(None, 0)]


@pytest.fixture(scope="module")
def paths(served: tuple[Web, Shop, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Pages of which each has something to show."""
    web, shop, url = served
    shop.ask("CREATE TABLE {d}.orders (id INT64, user_id STRING, plan STRING, seats STRING)")
    shop.ask("INSERT INTO {d}.orders VALUES (1, 'eve', 'pro', '5'), (2, 'fay', NULL, 'many')")
    properties = [{"column": "plan", "name": "plan"}, {"column": "seats", "name": "seats", "type": "integer"}]
    fields = {"identity": "user_id", "event": "Ordered", "properties": properties, "skipped": ("id",)}
    make(web.app, shop, "orders", "orders", Kind.EVENTS, fields)
    run(web.app, "orders")
    web.app.imports.create(
        "draft", connection=CONNECTION, source={"table": shop.name("users"), "key": ("user_id",)}, by="me"
    )
    folder = tmp_path_factory.mktemp("dbt")
    (folder / "manifest.json").write_text(json.dumps(_manifest()))
    web.app.dbt.add({"name": "shop", "manifest": str(folder / "manifest.json")}, by="tests")
    _told_by_dbt_cloud(web.app)
    key, _ = web.app.keys.create(team_id=1, name="paths", events_per_second=None, by="tests")
    for number in range(3):
        sent(url, key, {"event": f"seen {number}", "distinct_id": "gus", "properties": {"$set": {"n": number}}})
    bad = json.dumps({"api_key": key, "batch": [{"event": "no id"}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/batch/", bad), timeout=30):  # noqa: S310
        pass
    tabs = ("configuration", "mapping", "runs", "rejects", "logs", "hooks")
    steps = [f"/imports/orders/{step}" for step in ("map", "try", "schedule")]
    dbt = ["/dbt", "/dbt-new", "/dbt/shop", *(f"/dbt/shop?tab={tab}" for tab in ("cloud", "state", "edit"))]
    events = [f"/events?tab={tab}" for tab in ("live", "counts", "rejects", "send")]
    people = ["/people", *(f"/people?id=gus&team=1&tab={tab}" for tab in ("properties", "ids", "events"))]
    imports = ["/imports", "/imports-new", *(f"/imports/orders?tab={tab}" for tab in tabs), *steps, "/imports/draft"]
    return {"imports": imports[:8], "steps": imports[8:], "dbt": dbt, "events": events, "people": people}


def _told_by_dbt_cloud(app: App) -> None:
    """Runs that triggered a sync, failed, and are to be seen to."""
    told, project = DbtCloudRuns(app.database), app.dbt.get("shop").id
    model = "model.shop.customers"
    for number, status in (("77", "Success"), ("78", "Errored"), ("79", "Success")):
        told.add(project, "1", number, job=EVIL, status=status, note="Nothing was triggered.")
    ids = {one.run: one.id for one in told.of_project(project, 3)}
    told.later(ids["79"], dt.timedelta(hours=1), [], "Asked again later.")
    of_it = {"sync": "orders", "model": model, "number": 1, "reason": ""}
    not_built = {"sync": "people to crm", "model": model, "number": None, "reason": "The model was not built."}
    told.finish(ids["77"], [of_it, not_built], "")


def _manifest() -> dict[str, Any]:
    model = {
        "unique_id": "model.shop.customers", "name": "customers", "resource_type": "model", "package_name": "shop",
        "path": "customers.sql", "original_file_path": "models/customers.sql", "database": "acme", "schema": "shop",
        "alias": "customers", "description": EVIL, "columns": {}, "config": {"materialized": "table"},
        "relation_name": "`acme`.`shop`.`customers`", "depends_on": {"nodes": []}, "tags": [], "meta": {},
    }  # fmt: skip
    metadata = {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "dbt_version": "1.9.0",
        "project_name": "shop", "adapter_type": "bigquery",
    }  # fmt: skip
    kinds = ("sources", "exposures", "metrics", "groups", "macros", "docs", "selectors", "disabled", "parent_map")
    return {"metadata": metadata, "nodes": {model["unique_id"]: model}, **{kind: {} for kind in kinds}}


@pytest.mark.parametrize("group", ["imports", "steps", "dbt", "events", "people"])
@pytest.mark.parametrize("looks", [USUAL, OTHERS], ids=["usual", "others"])
def test_each_page_can_be_used_by_everybody(
    web: Web, browsing: Browsing, axe: str, paths: dict[str, list[str]], looks: tuple[Look, ...], group: str
) -> None:
    page, wrong = browsing.page(web.user()), dict[str, list[str]]()
    for path in paths[group]:
        page.set_viewport_size({"width": 360, "height": 900})
        go(page, web.url + path)
        assert page.locator(".notice-bad").count() == 0 or "draft" in path, (path, page.inner_text("#content"))
        wrong |= wrong_with(page, axe, re.sub(r"\W+", "-", path.strip("/")), looks)
    assert wrong == {}
