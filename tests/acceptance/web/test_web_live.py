"""Pages show what changes by themselves, and go on where they were after the server was away."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from playwright.sync_api import expect
from tests.acceptance.web.filled import EVIL, fill
from tests.web_server import Browsing, Web, violations

from tidemill.access.roles import Role


def test_home_shows_how_a_run_goes_on_and_keeps_the_focus(web: Web, browsing: Browsing) -> None:
    session = web.user()
    fill(web.app)
    page = browsing.page(session)
    page.goto(web.url)
    expect(page.get_by_text("2,000 of 4,000 rows")).to_be_visible()
    page.get_by_text("As a table").focus()
    with psycopg.connect(web.app.postgres.dsn, autocommit=True) as database:
        database.execute(
            "UPDATE tidemill.chunks SET rows_loaded = 3000 "
            "WHERE run_id IN (SELECT id FROM tidemill.runs WHERE status = 'running')"
        )
    expect(page.get_by_text("3,000 of 4,000 rows")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "As a table"


def test_what_names_hold_is_text_and_nothing_else(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    for path in ("/", "/settings/users", "/settings/audit"):
        page.goto(web.url + path)
        expect(page.get_by_text(EVIL).first).to_be_attached()
        assert page.locator("img[src=x]").count() == 0


def test_a_table_sorts_searches_and_pages_and_its_address_says_how(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/settings/keys")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Name", exact=True).click()
    expect(rows.first).to_contain_text("app-00")
    page.get_by_role("button", name="Next").click()
    expect(rows.first).to_contain_text("app-50")
    expect(page).to_have_url(re.compile(r"\?sort=name&from=[\w-]+$"))
    page.reload()
    expect(rows.first).to_contain_text("app-50")
    page.get_by_label("Search names").fill("app-03")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"search=app-03"))
    page.get_by_label("State").select_option("valid")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(rows).to_have_count(50)


def test_a_key_is_made_shown_once_and_revoked(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/settings/keys")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("This is needed.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("app-07")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("key")
    page.get_by_label("Name", exact=True).fill("site")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("[role=dialog] .command code")
    expect(secret).to_contain_text("tm_")
    text = secret.inner_text()
    page.get_by_role("button", name="Done").click()
    expect(page.locator("tbody tr").first).to_contain_text("site")
    assert text not in page.content()
    page.get_by_role("button", name="Revoke site").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.locator("tbody tr").first).to_contain_text("Revoked")
    found = web.app.audit.find(action="key.revoke", name="site")
    assert [(one.actor, one.outcome) for one in found] == [("anna", "done")]


def test_a_channel_is_changed_and_its_secret_stays_or_is_given_anew(web: Web, browsing: Browsing, axe: str) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/settings/notifications")
    page.get_by_role("link", name="on-call").click()
    expect(page.get_by_text("No messages yet")).to_be_visible()
    page.get_by_role("link", name="Configuration").click()
    page.get_by_label("To", exact=True).fill("ana@example.com, bob@example.com")
    page.get_by_label(re.compile("^User")).fill("tide")
    page.get_by_label("Password").fill("s3cret-of-mail")
    page.get_by_text("A run failed").click()
    page.get_by_label(re.compile("^Exports")).fill("persons\nnone such")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("none such")
    page.get_by_label(re.compile("^Exports")).fill("persons")
    assert violations(page, axe) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The changes are saved.")).to_be_visible()
    found = web.app.notify.get("on-call")
    assert (found.to, found.causes, found.exports) == ("ana@example.com, bob@example.com", ("failed",), ("persons",))
    assert "s3cret-of-mail" not in page.content()
    page.get_by_label("SMTP server").fill("mail.example.org")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("have to be given again")
    page.get_by_label("Password").fill("another-s3cret")
    page.get_by_label("Name", exact=True).fill("night shift")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="night shift")).to_be_visible()
    assert web.app.notify.get("night shift").settings["host"] == "mail.example.org"
    page = browsing.page(web.user("ella", Role.EDITOR))
    page.goto(f"{web.url}/settings/notifications/night%20shift?tab=edit")
    expect(page.get_by_text("No messages yet")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)


def test_a_user_is_added_and_deleted_by_who_types_the_name(web: Web, browsing: Browsing, axe: str) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/settings/users")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("zoe")
    dialog.get_by_text("Editor").click()
    dialog.get_by_label("Password").fill("short")
    expect(dialog.get_by_role("button", name="Add")).to_be_visible()
    assert violations(page, axe) == []
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.get_by_role("alert")).to_contain_text("12 to 200 characters")
    dialog.get_by_label("Password").fill("a long and unlikely one")
    dialog.get_by_role("button", name="Add").click()
    expect(page.get_by_text("zoe can sign in now.")).to_be_visible()
    assert web.app.users.get("zoe").role is Role.EDITOR
    page.get_by_role("button", name="Delete: zoe").click()
    delete = dialog.get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    dialog.get_by_role("searchbox").fill("zo")
    expect(delete).to_be_disabled()
    dialog.get_by_role("searchbox").fill("zoe")
    assert violations(page, axe) == []
    delete.click()
    expect(page.get_by_text("The account of zoe is deleted.")).to_be_visible()
    assert "zoe" not in {user.name for user in web.app.users.find()}


def test_the_audit_log_is_filtered_and_exported(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(f"{web.url}/settings/audit?kind=export")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_text("3 lines").click()
    expect(page.get_by_text("interval: 1d → 1h")).to_be_visible()
    with page.expect_download() as found:
        page.get_by_role("button", name="Export as CSV").click()
    lines = Path(found.value.path()).read_text().splitlines()
    assert len(lines) == 2
    assert "export.edit" in lines[1]


def test_who_only_looks_sees_no_settings_and_no_buttons(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user("vera", Role.VIEWER))
    page.goto(web.url)
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    names = page.locator("#navigation a").all_inner_texts()
    assert "Notifications" in names
    assert not {"Users", "API tokens", "SDK keys", "Audit log"} & set(names)
    page.goto(f"{web.url}/settings/users")
    expect(page.get_by_role("alert")).to_contain_text("may not see this page")
    page.goto(f"{web.url}/settings/notifications")
    expect(page.get_by_role("button", name="Add a channel")).to_have_count(0)


def test_the_menu_on_a_narrow_screen_opens_and_closes_by_keyboard(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user(), viewport={"width": 360, "height": 740})
    page.goto(web.url)
    page.get_by_role("button", name="Menu").press("Enter")
    expect(page.get_by_role("link", name="Health")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Health")).to_be_hidden()


def test_the_theme_is_kept(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user(), color_scheme="light")
    page.goto(web.url)
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    page.wait_for_selector("main h1")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_page_goes_on_when_the_web_app_was_killed(web: Web, browsing: Browsing) -> None:
    import psutil

    page = browsing.page(web.user())
    page.goto(f"{web.url}/settings/keys")
    expect(page.get_by_role("heading", name="SDK keys")).to_be_visible()
    page.evaluate("window.before = true")
    assert web.process is not None
    children = psutil.Process(web.process.pid).children()
    next(child for child in children if "tidemill.web.process" in " ".join(child.cmdline())).kill()
    page.wait_for_function("!window.before && document.querySelector('tbody tr')", timeout=60_000)  # loaded anew
    browsing.wrong.clear()  # it was away for a moment
