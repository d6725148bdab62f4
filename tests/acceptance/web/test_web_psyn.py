"""Models, destinations and syncs: from a table of BigQuery to somebody's server by a browser alone; and everybody can
use their pages, may do what their role allows, and learns what is wrong and what to do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.web_looks import OTHERS, USUAL, Look, wrong_with
from tests.web_server import Browsing
from tests.web_syncs import NAME, Moving, moving, web

from tidemill.access.roles import Role

__all__ = ["moving", "web"]

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
    "sync": tuple(f"/syncs/people to crm?tab={tab}" for tab in TABS),
}


def test_rows_of_a_statement_arrive_at_a_webhook(moving: Moving, browsing: Browsing) -> None:
    page = browsing.page(moving.web.user())
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
    expect(row).to_contain_text("Completed")
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


@pytest.fixture(scope="module")
def filled(moving: Moving) -> None:
    """A sync that has run."""
    moving.prepare()
    triggers = moving.web.app.sync_triggers
    run = triggers.trigger(NAME, by="tests")
    assert triggers.wait(NAME, run.number).status == "completed"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("looks", [USUAL, OTHERS], ids=["usual", "others"])
@pytest.mark.parametrize("part", PATHS)
def test_everybody_can_use_each_page(
    moving: Moving, browsing: Browsing, axe: str, part: str, looks: tuple[Look, ...]
) -> None:
    page, wrong = browsing.page(moving.web.user()), dict[str, list[str]]()
    for path in PATHS[part]:
        page.set_viewport_size({"width": 360, "height": 900})
        page.goto(moving.web.url + path)
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator(".spinner")).to_have_count(0)
        wrong |= wrong_with(page, axe, path.strip("/").translate(str.maketrans("/?=&+ ", "------")), looks)
    assert wrong == {}


@pytest.mark.usefixtures("filled")
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


@pytest.mark.usefixtures("filled")
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


@pytest.mark.usefixtures("filled")
def test_the_log_of_a_run_is_searched_held_still_and_copied(moving: Moving, browsing: Browsing) -> None:
    page = browsing.page(moving.web.user(), permissions=["clipboard-read", "clipboard-write"])
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


@pytest.mark.usefixtures("filled")
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


@pytest.mark.usefixtures("filled")
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


@pytest.mark.usefixtures("filled")
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
