"""Each page that needs no BigQuery, in both themes and at several widths: everybody can use it, and it asks no other
host."""

from __future__ import annotations

import urllib.parse

import pytest
from playwright.sync_api import expect
from tests.acceptance.web.filled import EVIL, fill
from tests.web_looks import OTHERS, USUAL, Look, wrong_with
from tests.web_server import Browsing, Web, violations

from tidemill.access.roles import Role
from tidemill.paging import Wanted
from tidemill.web.places import PLACES

_OF_ONE = "/exports/persons"
_SAID = "model=events&name=daily&connection=warehouse&table=events&time_zone=Europe/Berlin"
PATHS = {
    **{place.path.strip("/").replace("/", "-") or "home": place.path for place in PLACES if place.listed},
    "jobs-failed": "/jobs?kind=export&status=failed",
    "channel": "/settings/notifications/on-call",
    "channel-edit": "/settings/notifications/on-call?tab=edit",
    "export-runs": _OF_ONE,
    "export-evil": "/exports/" + urllib.parse.quote(EVIL, safe=""),
    **{
        f"export-{tab}": f"{_OF_ONE}?tab={tab}"
        for tab in ("configuration", "backfills", "metrics", "logs", "rejects", "notifications", "verify", "hooks")
    },
    "export-run": "",  # its id is not known yet
    "new-data": "/exports/new/data",
    "new-schema": "/exports/new/schema?model=persons",
    "new-destination": "/exports/new/destination?model=events&layout=choose",
    "new-schedule": f"/exports/new/schedule?{_SAID}&more=choose",
    "new-test": f"/exports/new/test?{_SAID}",
    "sign-in": "/sign-in",
    "password": "/account/password",
}
_PARTS = 8


@pytest.fixture(scope="module", autouse=True)
def filled(web: Web) -> None:
    web.user()
    fill(web.app)


@pytest.mark.parametrize("looks", [USUAL, OTHERS], ids=["usual", "others"])
@pytest.mark.parametrize("names", [list(PATHS)[start::_PARTS] for start in range(_PARTS)], ids=" ".join)
def test_pages_can_be_used_by_everybody(
    web: Web, browsing: Browsing, axe: str, names: list[str], looks: tuple[Look, ...]
) -> None:
    page, wrong = browsing.page(), dict[str, list[str]]()
    run = web.app.exports.listed.runs("persons").items[0]
    for name in names:
        page.context.clear_cookies()
        if name != "sign-in":
            browsing.enter(page, web.user())
        page.set_viewport_size({"width": 360, "height": 900})
        page.goto(web.url + (PATHS[name] or f"/exports/persons/runs/{run.id}"))
        page.wait_for_selector("main h1")
        page.wait_for_function("globalThis.did_handshake !== false")
        expect(page.locator("main .notice-bad[role=alert]")).to_have_count(0)
        wrong |= wrong_with(page, axe, name, looks)
    assert wrong == {}


def test_a_viewer_sees_no_button_that_changes_something(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user("vera", Role.VIEWER))
    page.goto(f"{web.url}/exports")
    expect(page.get_by_role("link", name="persons", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="New export")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    page.goto(f"{web.url}/exports/persons")
    expect(page.get_by_role("heading", name="persons")).to_be_visible()
    expect(page.get_by_role("button", name="Run now")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.goto(f"{web.url}/exports/new/data")
    expect(page.get_by_role("alert")).to_contain_text("may not see this page")


def test_a_hook_is_made_shown_once_and_revoked(web: Web, browsing: Browsing, axe: str) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/exports/persons?tab=hooks")
    page.get_by_role("button", name="Make a hook").click()
    commands = page.get_by_role("dialog").locator(".command code")
    expect(commands.nth(1)).to_contain_text("curl --fail --request POST https://")
    address = commands.first.inner_text()
    assert violations(page, axe) == []
    page.get_by_role("button", name="Done").click()
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("anna")
    expect(row).to_contain_text("never")
    secret = address.rpartition("/")[2]
    assert secret not in page.content()
    found = web.app.export_hooks.holder(secret)
    assert found is not None
    assert found.name == "persons"
    expect(row).not_to_contain_text("never")
    page.get_by_role("button", name=f"Revoke {found.start}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("No hook yet")).to_be_visible()
    assert web.app.export_hooks.holder(secret) is None
    page = browsing.page(web.user("vera", Role.VIEWER))
    page.goto(f"{web.url}/exports/persons?tab=hooks")
    expect(page.get_by_text("No hook yet")).to_be_visible()
    expect(page.get_by_role("button", name="Make a hook")).to_have_count(0)


def test_exports_come_in_the_wanted_order_page_by_page(web: Web) -> None:
    find, found = web.app.exports.listed.exports, []
    cursor: str | None = None
    for _ in range(2):
        page = find(wanted=Wanted(cursor, 2, "-covered_until"))
        found += [one.name for one in page.items]
        cursor = page.next
    assert found == ["events", "persons", "sessions", EVIL]
    assert cursor is None
    assert [one.name for one in find(wanted=Wanted(sort="covered_until")).items] == found[::-1]


def test_the_list_sorts_and_filters_and_pauses_on_the_server(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/exports?status=failed&sort=-name")
    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("persons")
    page.get_by_role("button", name="Last run").click()
    expect(page).to_have_url(f"{web.url}/exports?status=failed&sort=last_finished_at")
    page.get_by_role("button", name="Pause persons").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Unpause persons")).to_be_visible()
    page.get_by_role("button", name="Unpause persons").click()
    expect(page.get_by_role("button", name="Pause persons", exact=True)).to_be_visible()


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
    expect(page.get_by_role("combobox", name="Connection")).to_be_visible()
