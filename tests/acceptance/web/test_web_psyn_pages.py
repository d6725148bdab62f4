"""Pages of models, destinations and syncs: everybody can use them, may do what their role allows, and learns what is
wrong and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.web_server import Browsing, violations
from tests.web_syncs import NAME, Moving, moving, web

from tidemill.access.roles import Role

__all__ = ["moving", "web"]

PICTURES = os.environ.get("TIDEMILL_TEST_PICTURES")
TABS = ("runs", "rows", "mapping", "configuration", "try", "logs", "metrics", "hooks")
PATHS = {
    "models": ("/models", "/models/_new", "/models/people to crm", "/models/people to crm/edit"),
    "destinations": (
        "/destinations",
        "/destinations/_new",
        "/destinations/_new?kind=webhook",
        "/destinations/people to crm",
    ),
    "syncs": ("/syncs", "/syncs/_new?model=people+to+crm&destination=people+to+crm", "/syncs/people to crm/runs/1"),
    "sync": tuple(f"/syncs/people to crm?tab={tab}" for tab in TABS[:4]),
    "sync at work": tuple(f"/syncs/people to crm?tab={tab}" for tab in TABS[4:]),
}


@pytest.fixture(scope="module", autouse=True)
def filled(moving: Moving) -> None:
    moving.prepare()
    triggers = moving.web.app.sync_triggers
    run = triggers.trigger(NAME, by="tests")
    assert triggers.wait(NAME, run.number).status == "completed"


@pytest.mark.parametrize("part", PATHS)
def test_everybody_can_use_each_page(moving: Moving, browsing: Browsing, axe: str, part: str) -> None:
    page, wrong = browsing.page(moving.web.user()), {}
    for path in PATHS[part]:
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(moving.web.url + path)
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator(".spinner")).to_have_count(0, timeout=15_000)
        for theme, width in (("light", 1440), ("dark", 1440), ("dark", 360), ("light", 360)):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 900})
            if PICTURES:
                page.wait_for_timeout(400)
                name = path.strip("/").translate(str.maketrans("/?=&+ ", "------"))
                page.screenshot(path=Path(PICTURES, f"{name}-{theme}-{width}.png"), full_page=True)
            found = violations(page, axe) if (theme == "light") == (width == 1440) else []
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found.append("something sticks out")
            if found:
                wrong[f"{path} {theme} at {width}"] = found
    assert wrong == {}


def test_who_only_looks_sees_all_of_it_and_no_buttons(moving: Moving, browsing: Browsing) -> None:
    page = browsing.page(moving.web.user("vic", Role.VIEWER))
    page.goto(f"{moving.web.url}/syncs/{NAME}?tab=rows")
    expect(page.locator("tbody tr")).to_have_count(1)
    for path in (f"/syncs/{NAME}", f"/syncs/{NAME}?tab=rows", f"/models/{NAME}", f"/destinations/{NAME}"):
        page.goto(moving.web.url + path)
        expect(page.locator("main h1")).to_be_visible()
        for word in ("Run now", "Pause", "Reset", "Delete", "Edit", "Retry", "Give up"):
            expect(page.get_by_role("button", name=word)).to_have_count(0)
    page.goto(f"{moving.web.url}/models/_new")
    expect(page.get_by_text("With the role viewer you may not see this page.")).to_be_visible()


def test_rows_are_found_by_their_reason_and_tried_again_when_they_are_mended(
    moving: Moving, browsing: Browsing
) -> None:
    page = browsing.page(moving.web.user())
    page.goto(f"{moving.web.url}/syncs/{NAME}?tab=rows")
    page.get_by_label("Search keys and reasons").fill("nothing like it")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_label("Search keys and reasons").fill("no such plan")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Row: 7").click()
    expect(page.get_by_text('"email": "p7@example.com"')).to_be_visible()
    page.get_by_role("button", name="Close").click()
    moving.people.rows[7] = ("p7@example.com", "free")
    moving.people.save()
    page.get_by_role("button", name="Retry: 7").click()
    expect(page.get_by_text("The rows were tried again.")).to_be_visible()
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert moving.crm.people["7"]["plan"] == "free"


def test_the_log_of_a_run_is_searched_held_still_and_copied(moving: Moving, browsing: Browsing) -> None:
    context = browsing.context(moving.web.user())
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{moving.web.url}/syncs/{NAME}?tab=logs")
    rows = page.locator("tbody tr")
    expect(rows.nth(1)).to_be_visible()
    page.get_by_label("Search the log").fill("nothing like it")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Run: the last").fill("1")
    expect(page).to_have_url(f"{moving.web.url}/syncs/{NAME.replace(' ', '%20')}?tab=logs&run=1")
    expect(rows.nth(1)).to_contain_text("1")
    page.get_by_role("button", name="Copy these lines").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert len(copied) == rows.count()
    assert copied == sorted(copied, key=lambda line: line.split()[0]), "the oldest first"
    page.get_by_role("button", name="Hold still").click()
    expect(page.get_by_role("button", name="Follow")).to_be_visible()


def test_a_changed_mapping_asks_what_becomes_of_rows_that_are_there(moving: Moving, browsing: Browsing) -> None:
    page = browsing.page(moving.web.user())
    page.goto(f"{moving.web.url}/syncs/{NAME}?tab=mapping")
    plan = page.get_by_label("plan", exact=True)
    plan.select_option(label="code (JSON) …")
    page.get_by_label("Code of plan").fill('{"@path": "$.plann"}')
    page.get_by_role("button", name="Save the mapping").click()
    expect(page.get_by_text("The model has no column plann.")).to_be_visible()
    plan.select_option(label="plan")
    page.get_by_label("n", exact=True).select_option(label="email")
    page.get_by_role("button", name="Save the mapping").click()
    page.get_by_role("button", name="Leave them").click()
    expect(page.get_by_text("The mapping is saved.")).to_be_visible()
    sync = moving.web.app.reverse_etl.syncs.get(NAME)
    assert (sync.pending, sync.spec.mapping["n"]) == ("leave", {"@path": "$.email"})


def test_a_broken_destination_is_said_with_what_to_do(moving: Moving, browsing: Browsing) -> None:
    moving.prepare("broken")
    accounts, triggers = moving.web.app.reverse_etl.destinations, moving.web.app.sync_triggers
    accounts.save("broken", accounts.changed("broken", {"url": "http://192.168.77.1/hook"}))
    page = browsing.page(moving.web.user())
    page.goto(f"{moving.web.url}/destinations/broken")
    page.get_by_role("button", name="Test the credential").click()
    expect(page.get_by_role("alert")).to_contain_text("TIDEMILL_OUTBOUND_ALLOW")
    triggers.wait("broken", triggers.trigger("broken", by="tests").number)
    page.goto(f"{moving.web.url}/syncs/broken")
    expect(page.get_by_text("TIDEMILL_OUTBOUND_ALLOW").first).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("Failed")


def test_a_sync_is_changed_paused_and_reset(moving: Moving, browsing: Browsing) -> None:
    page, syncs = browsing.page(moving.web.user()), moving.web.app.reverse_etl.syncs
    page.goto(f"{moving.web.url}/syncs/{NAME}?tab=configuration")
    page.get_by_label("It runs").select_option(label="By a cron expression")
    page.get_by_label("Cron expression").fill("0 6 * * 1-5")
    page.get_by_label("Brake, %").fill("35")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The settings are saved.")).to_be_visible()
    expect(page.get_by_label("Brake, %")).to_have_value("35")
    expect(page.get_by_label("Cron expression")).to_have_value("0 6 * * 1-5")
    assert syncs.get(NAME).spec.delete_brake == 0.35
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Reset").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="Take the model as delivered").check()
    dialog.get_by_role("button", name="Reset").click()
    expect(page.get_by_text("The next run takes all rows as delivered.")).to_be_visible()
    page.goto(f"{moving.web.url}/syncs/{NAME}?tab=mapping")
    page.get_by_role("button", name="All of it as JSON").click()
    page.get_by_label("Mapping", exact=True).fill('{"n": ')
    page.get_by_role("button", name="Fields").click()
    expect(page.get_by_text("The mapping is no JSON")).to_be_visible()
    page.get_by_label("Mapping", exact=True).fill('{"mine": {"@path": "$.id"}}')
    page.get_by_role("button", name="Fields").click()
    expect(page.get_by_label("mine", exact=True)).to_have_value(":id")
