"""Who gets in: the first account, sign-in, lock-out, sign-out; and what is refused at the door."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect
from tests.web_looks import assert_usable
from tests.web_server import PASSWORD, Browsing, Web, cookie
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

NAMES = ("content-security-policy", "x-content-type-options", "referrer-policy", "permissions-policy", "cache-control")


@pytest.fixture
def asking(web: Web) -> Iterator[httpx.Client]:
    """Somebody with a program instead of a browser."""
    web.user()  # there is an account
    with httpx.Client(base_url=web.url, timeout=60) as client:
        yield client


def token_of(answer: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', answer.text)
    assert found is not None, answer.text
    return found[1]


def sign_in(client: httpx.Client, web: Web, name: str, password: str, **headers: str) -> httpx.Response:
    token = token_of(client.get("/sign-in"))
    form = {"name": name, "password": password, "form_token": token}
    return client.post("/sign-in", data=form, headers={"origin": web.url, **headers})


def fill(page: Page, **fields: str) -> None:
    for name, text in fields.items():
        page.fill(f"#{name}", text)
    page.click("button[type=submit]")


def test_the_first_door_can_be_used_by_everybody(web: Web, browsing: Browsing, axe: str) -> None:
    page = browsing.page()
    page.goto(f"{web.url}/set-up")
    expect(page.get_by_role("heading", name="Make the first account")).to_be_visible()
    assert_usable(page, axe, "set-up")


def test_the_first_account_is_made_by_who_has_the_token(web: Web, browsing: Browsing) -> None:
    assert not web.app.users.any(), "before others make accounts"
    found = re.search(r"(http://\S+/set-up\?token=\S+)", web.said)
    assert found is not None
    page = browsing.page()
    page.goto(web.url)
    expect(page).to_have_url(re.compile("/set-up$"))
    fill(page, token="tmu_wrong", name="root", password=PASSWORD, again=PASSWORD)
    expect(page.locator("#token-error")).to_contain_text("not good")
    page.goto(found[1])
    fill(page, name="root", password="short", again="short")
    expect(page.locator("#password-error")).to_contain_text("12 to 200 characters")
    fill(page, password=PASSWORD, again=f"{PASSWORD}!")
    expect(page.locator("#again-error")).to_contain_text("not the same")
    fill(page, password=PASSWORD, again=PASSWORD)
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    expect(page.get_by_text("three ways to begin")).to_be_visible()
    page.goto(f"{web.url}/set-up")
    expect(page).to_have_url(f"{web.url}/")


def test_what_is_empty_says_what_to_do_next(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    said = {
        "/exports": "There is no export yet",
        "/exports/new/destination?model=events": "There is no connection yet",
        "/connections": "No connection yet",
        "/syncs": "No sync yet",
        "/events": "No event has come yet",
    }
    for path, text in said.items():
        page.goto(web.url + path)
        empty = page.locator("main .empty")
        expect(empty).to_contain_text(text)
        assert empty.get_by_role("link").count() == 1, path


def test_sign_in_and_out(web: Web, browsing: Browsing) -> None:
    web.user()
    page = browsing.page()
    page.goto(f"{web.url}/settings/keys?state=valid")
    fill(page, name="anna", password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong")
    expect(page.locator("#name")).to_have_value("anna")
    fill(page, password=PASSWORD)
    expect(page).to_have_url(f"{web.url}/settings/keys?state=valid")
    expect(page.get_by_role("heading", name="SDK keys")).to_be_visible()
    session = next(one for one in page.context.cookies() if one["name"] == "tidemill_session")
    assert session["httpOnly"]
    assert session["sameSite"] == "Lax"
    page.get_by_text("anna", exact=True).first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.context.add_cookies([cookie(web.url, session["value"])])
    page.goto(web.url)
    expect(page).to_have_url(re.compile("/sign-in"))


def test_a_page_that_is_open_knows_that_its_session_has_ended(web: Web, browsing: Browsing) -> None:
    session = web.user(anew=True)
    page, other = browsing.page(session), browsing.page(web.user(anew=True))
    for one in (page, other):
        one.goto(f"{web.url}/settings/keys")
        expect(one.get_by_role("heading", name="SDK keys")).to_be_visible()
    web.app.users.sign_out(session)
    expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Fsettings%2Fkeys"))  # though nothing is done on it
    expect(other.get_by_role("heading", name="SDK keys")).to_be_visible()


def test_who_guesses_is_locked_out_and_told_so(web: Web, browsing: Browsing) -> None:
    page = browsing.page()
    page.goto(f"{web.url}/sign-in")
    for _ in range(6):
        fill(page, name="nobody", password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("too many wrong passwords")
    expect(page.get_by_role("alert")).to_contain_text("seconds")


def test_one_changes_ones_own_password(web: Web, browsing: Browsing) -> None:
    session, other = web.user("dora", anew=True), web.user("dora", anew=True)
    page = browsing.page(session)
    page.goto(f"{web.url}/account/password")
    fill(page, old="wrong", password=f"{PASSWORD} 2", again=f"{PASSWORD} 2")
    expect(page.locator("#old-error")).to_contain_text("not your password")
    fill(page, old=PASSWORD, password=f"{PASSWORD} 2", again=f"{PASSWORD} 2")
    expect(page.get_by_text("Your password is changed")).to_be_visible()
    assert web.app.users.session(other) is None, "other devices are signed out"
    assert web.app.users.session(session) is not None


def test_each_sign_in_has_a_session_of_its_own(web: Web, asking: httpx.Client) -> None:
    asking.cookies.set("tidemill_session", "tms_chosen-by-somebody-else")
    answer = sign_in(asking, web, "anna", PASSWORD)
    assert answer.status_code == 303
    assert "tidemill_session=" in answer.headers["set-cookie"]
    assert "chosen-by-somebody-else" not in answer.headers["set-cookie"]
    assert "secure" not in answer.headers["set-cookie"].lower(), "it would not be sent over plain HTTP"
    first = answer.headers["set-cookie"]
    with httpx.Client(base_url=web.url, timeout=60) as again:
        assert sign_in(again, web, "anna", PASSWORD).headers["set-cookie"] != first


def test_a_form_that_is_not_ours_does_nothing(web: Web, asking: httpx.Client) -> None:
    token = token_of(asking.get("/sign-in"))
    form = {"name": "anna", "password": PASSWORD, "form_token": token}
    for origin in ("https://evil.example", "null", ""):
        headers = {"origin": origin} if origin else {}
        assert asking.post("/sign-in", data=form, headers=headers).status_code == 403
    other = {**form, "form_token": "x" * len(token)}
    assert asking.post("/sign-in", data=other, headers={"origin": web.url}).status_code == 403
    asking.cookies.set("tidemill_session", web.user())
    assert asking.post("/sign-out", data={"form_token": token}, headers={"origin": web.url}).status_code == 403
    assert asking.get("/settings/keys").status_code == 200, "nobody was signed out"


@pytest.mark.parametrize(
    "path", ["/", "/settings/users", "/_nicegui/3.18.0/static/nicegui.js", "/_nicegui_ws/socket.io/", "/nothing"]
)
def test_without_a_session_there_is_nothing(asking: httpx.Client, path: str) -> None:
    answer = asking.get(path)
    assert answer.status_code in {303, 401, 403}
    assert answer.headers.get("location", "/sign-in").startswith("/sign-in")


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_sign_in_leads_to_pages_of_ours_alone(web: Web, asking: httpx.Client, wanted: str) -> None:
    token = token_of(asking.get("/sign-in", params={"next": wanted}))
    form = {"name": "anna", "password": PASSWORD, "form_token": token, "next": wanted}
    answer = asking.post("/sign-in", data=form, headers={"origin": web.url})
    assert answer.headers["location"] == "/"


def socket(web: Web, session: str, origin: str | None = None) -> Any:
    address = web.url.replace("http", "ws", 1) + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    headers = {"Cookie": f"tidemill_session={session}"} if session else {}
    return connect(address, additional_headers=headers, origin=Origin(origin or web.url))


def test_websockets_are_for_who_is_signed_in_and_for_pages_of_ours(web: Web) -> None:
    session = web.user()
    with socket(web, session) as open_one:
        assert open_one.recv(timeout=10).startswith("0")
    for refused in (("", None), ("tms_nothing", None), (session, "https://evil.example")):
        with pytest.raises(InvalidStatus) as found, socket(web, *refused):
            pass
        assert found.value.response.status_code == 403


def test_a_websocket_speaks_for_pages_of_its_own_session_alone(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(web.url)
    page.wait_for_selector("main h1")
    client_id = page.evaluate("window.clientId")
    with socket(web, web.user("eve")) as other:
        other.recv(timeout=10)
        other.send("40")
        other.recv(timeout=10)
        told = f'{{"client_id":"{client_id}","tab_id":"t","document_id":"d","next_message_id":0}}'
        other.send(f'420["handshake",{told}]')
        while not (said := str(other.recv(timeout=10))).startswith("43"):
            pass
        assert "false" in said


def test_each_answer_says_what_may_be_loaded(web: Web, asking: httpx.Client) -> None:
    asking.cookies.set("tidemill_session", web.user())
    for path in ("/", "/account/password", "/static/app.js"):
        headers = asking.get(path).headers
        assert all(name in headers for name in NAMES), path
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'unsafe-inline'" not in policy
        assert "http" not in policy, "no other host"
    first, second = (asking.get("/").headers["content-security-policy"] for _ in range(2))
    assert first != second, "a nonce is used once"
    assert asking.get("/").headers["cache-control"] == "no-store"


def test_behind_a_proxy_with_tls_cookies_are_for_tls_alone(web: Web) -> None:
    web.user()
    with httpx.Client(base_url=web.url, headers={"x-forwarded-proto": "https"}) as client:
        answer = client.get("/sign-in")
        kept = answer.headers["set-cookie"]
        assert kept.startswith("__Host-tidemill_form=")
        assert "secure" in kept.lower()
        form = {"name": "anna", "password": PASSWORD, "form_token": token_of(answer)}
        headers = {"origin": web.url.replace("http:", "https:"), "cookie": kept.partition(";")[0]}
        answer = client.post("/sign-in", data=form, headers=headers)
        assert answer.headers["set-cookie"].count("Secure") >= 1
        assert "__Host-tidemill_session=" in ", ".join(answer.headers.get_list("set-cookie"))
        assert "strict-transport-security" in answer.headers


def test_what_is_too_large_is_refused(web: Web, asking: httpx.Client) -> None:
    token = token_of(asking.get("/sign-in"))
    form = urllib.parse.urlencode({"name": "a" * 100_000, "password": "x", "form_token": token}).encode()
    headers = {"origin": web.url, "content-type": "application/x-www-form-urlencoded"}
    assert asking.post("/sign-in", content=form, headers=headers).status_code == 413
    in_pieces = (form[start : start + 10_000] for start in range(0, len(form), 10_000))
    assert asking.post("/sign-in", content=in_pieces, headers=headers).status_code == 413
    asking.cookies.set("tidemill_session", web.user())
    large = asking.post("/_nicegui/client/x/upload/1", content=b"x" * 10_000_001, headers=headers)
    assert large.status_code == 413


def test_it_ends_well_when_it_is_told_to_with_a_page_open(web: Web, browsing: Browsing) -> None:
    page = browsing.page(web.user())
    page.goto(web.url)
    page.wait_for_selector("main h1")
    assert web.stop() == 0
    assert "Traceback" not in web.said, web.said
    browsing.wrong.clear()  # the page has lost its connection


def test_who_has_no_visitors_has_no_process_for_them(web: Web) -> None:
    if not web.ended():
        web.stop()

    def processes() -> list[psutil.Process]:
        assert web.process is not None
        found = psutil.Process(web.process.pid).children()
        return [one for one in found if "tidemill.web.process" in " ".join(one.cmdline())]

    for visits in (0, 2):
        web.log.write_text("")
        web.start()
        assert processes() == []
        for _ in range(visits):
            assert httpx.get(web.url, timeout=60, follow_redirects=True).status_code == 200
            assert len(processes()) == 1
        assert web.stop() == 0
