"""The doors: what they say to who comes too often, and of what is not there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tidemill.errors import AccessError
from tidemill.web import doors, turns
from tidemill.web.cookies import FORM
from tidemill.web.oidc import Oidc
from tidemill.web.sessions import Sessions


class Users:
    """Remembers the names that were tried."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def sign_in(self, name: str, _: str, **__: str) -> str:
        self.names.append(name)
        raise AccessError("sign_in_refused", "Name or password is wrong.")


class Browser:
    """Asks the doors, with the cookie of their form."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            there = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=there, base_url="http://x", cookies={FORM: "token"}) as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def browser(users: Users) -> Browser:
    app: Any = SimpleNamespace(users=users, settings=SimpleNamespace(oidc_issuer=""))
    oidc = Oidc(app)
    made = doors.Doors(app, Sessions(lambda _: None), oidc.invitation)
    return Browser(Starlette(routes=[*made.routes(), *oidc.routes()]))


def signed_in(browser: Browser, name: str = "anna") -> httpx.Response:
    return browser.ask("POST", "/sign-in", data={"name": name, "password": "x", "form_token": "token"})


def test_who_comes_when_too_many_do_is_told_to_come_again(
    browser: Browser, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signed_in(browser).status_code == 403
    monkeypatch.setattr(turns, "_MOST", 0)
    found = signed_in(browser)
    assert (found.status_code, found.headers["retry-after"]) == (503, "5")
    assert "Too many people sign in" in found.text
    assert users.names == ["anna"]


def test_zero_bytes_of_a_form_are_left_out(browser: Browser, users: Users) -> None:
    signed_in(browser, "an\0na")
    assert users.names == ["anna"]


@pytest.mark.parametrize("path", ["/oidc/begin", "/oidc/back?code=1", "/oidc/", "/oidc/other/one"])
def test_without_a_provider_there_is_nothing_where_it_would_be(browser: Browser, path: str) -> None:
    found = browser.ask("GET", path)
    assert (found.status_code, found.headers["content-type"]) == (404, "text/plain; charset=utf-8")
