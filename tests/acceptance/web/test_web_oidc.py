"""Sign-in by a provider of OpenID Connect: who it lets in, with which role, and what is refused."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from tests.oidc_provider import CLIENT, SECRET, Provider
from tests.web_server import PASSWORD, Browsing, Web, serving_web

from tidemill.access.roles import Role

RIGHT = {"sub": "u-1", "email": "mia@acme.example", "email_verified": True, "roles": ["tidemill-editor", "other"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()
    server = found.start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def web(made_home: Path, tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Web]:
    settings = {
        "ISSUER": provider.url, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Acme",
        "ROLE_CLAIM": "roles", "ALLOWED_DOMAINS": "acme.example, acme.test",
    }  # fmt: skip
    environment = {f"TIDEMILL_OIDC_{name}": value for name, value in settings.items()}
    with serving_web(made_home, tmp_path_factory.mktemp("oidc"), **environment) as server:
        yield server


@pytest.fixture(autouse=True)
def right(provider: Provider) -> None:
    """What the provider says is right, until a test says otherwise."""
    provider.claims, provider.changes, provider.algorithm, provider.other_key = dict(RIGHT), {}, "RS256", False


def came_back(web: Web, **changed: str) -> httpx.Response:
    """What somebody is told who went to the provider and came back."""
    with httpx.Client(base_url=web.url, timeout=60) as client:
        to_provider = client.get("/oidc/begin", params={"next": "/settings/keys"})
        back = httpx.get(to_provider.headers["location"], timeout=60).headers["location"]
        path = urllib.parse.urlsplit(back)
        query = dict(urllib.parse.parse_qsl(path.query)) | changed
        return client.get(path.path, params=query)


def test_nobody_becomes_the_administrator_of_a_new_installation_by_it(web: Web) -> None:
    assert not web.app.users.any(), "this test comes first"
    assert "There is no account yet" in came_back(web).text
    assert not web.app.users.any()
    users = web.app.users
    users.begin(users.setup_token(), "root", PASSWORD, address="127.0.0.1", agent="tests")


def test_somebody_signs_in_elsewhere_and_is_here_with_the_role_of_there(web: Web, browsing: Browsing) -> None:
    browsing.url = ""  # it may ask the provider
    page = browsing.page()
    page.goto(f"{web.url}/settings/health")
    page.get_by_role("link", name="Sign in with Acme").click()
    expect(page).to_have_url(f"{web.url}/settings/health")
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    user = web.app.users.get("mia@acme.example")
    assert user.role is Role.EDITOR
    assert user.sign_in == "elsewhere"
    names = {one["name"] for one in page.context.cookies()}
    assert names == {"tidemill_session"}


def test_a_role_that_changes_there_changes_here(web: Web, provider: Provider) -> None:
    provider.claims["roles"] = "viewer"
    answer = came_back(web)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/settings/keys"
    assert web.app.users.get("mia@acme.example").role is Role.VIEWER


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iss": "https://evil.example"}, "not valid"),
        ({"aud": "somebody-else"}, "not valid"),
        ({"nonce": "another"}, "not valid"),
        ({"exp": 1}, "not valid"),
        ({"azp": "somebody-else"}, "not valid"),
        ({"email": "mia@evil.example"}, "domain"),
        ({"email_verified": False}, "domain"),
        ({"roles": ["other"]}, "no role"),
        ({"roles": None}, "no role"),
    ],
)
def test_what_is_not_right_lets_nobody_in(web: Web, provider: Provider, changes: dict[str, Any], said: str) -> None:
    provider.changes = changes
    answer = came_back(web)
    assert answer.status_code == 403
    assert said in answer.text
    assert "tidemill_session" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("how", ["none", "HS256", "another key"])
def test_a_token_that_the_provider_has_not_signed_lets_nobody_in(web: Web, provider: Provider, how: str) -> None:
    provider.other_key = how == "another key"
    provider.algorithm = "RS256" if provider.other_key else how
    answer = came_back(web)
    assert answer.status_code == 403
    assert "not valid" in answer.text


def test_what_was_begun_by_another_browser_is_not_ended_here(web: Web) -> None:
    assert "was not begun here" in came_back(web, state="guessed").text
    with httpx.Client(base_url=web.url, timeout=60) as stranger:
        answer = stranger.get("/oidc/back", params={"code": "x", "state": "y"})
        assert answer.status_code == 403


def test_a_code_is_good_once(web: Web) -> None:
    answer = came_back(web, code="used-before")
    assert answer.status_code in {403, 422, 503}
    assert re.search("does not answer as it should", answer.text)
