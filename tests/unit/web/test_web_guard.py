"""What the guard lets through, and what it answers itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidemill.capture.http import OVERLOADED
from tidemill.web import guard
from tidemill.web.guard import UPLOAD_BYTES, Guard
from tidemill.web.sessions import Sessions

SESSION = "tms_known"


class App:
    """What is behind the guard: it says that it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"ALLOW")]})
        await send({"type": "http.response.body", "body": b""})


def asked(
    app: App,
    path: str,
    method: str = "GET",
    addresses: tuple[str, ...] = (),
    *,
    query_string: bytes = b"",
    extensions: Any = None,
    received: Any = None,
    **more: Any,
) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer."""
    named = {"host": "tide.example", **{name.replace("_", "-"): value for name, value in more.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query_string, "scheme": "http",
        "extensions": extensions or {},
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        said.append(message)

    def look(text: str) -> object:
        return "somebody" if text == SESSION else None

    asyncio.run(Guard(app, Sessions(look), addresses)(scope, received or receive, send))
    return said[0]["status"], {name.decode(): value.decode() for name, value in said[0]["headers"]}


KNOWN = f"tidemill_session={SESSION}"


def test_who_is_not_signed_in_is_led_to_the_door_and_back() -> None:
    app = App()
    status, headers = asked(app, "/exports/daily")
    assert status == 303
    assert headers["location"] == "/sign-in?next=%2Fexports%2Fdaily"
    assert app.asked == []


@pytest.mark.parametrize("path", ["/sign-in", "/set-up", "/oidc/begin", "/static/theme.css", "/health"])
def test_doors_are_open(path: str) -> None:
    app = App()
    assert asked(app, path)[0] == 200


@pytest.mark.parametrize("path", ["/sign-in/x", "/static", "/oidc", "/healthy", "/_nicegui/3.18.0/static/x.js"])
def test_what_looks_like_a_door_is_none(path: str) -> None:
    app = App()
    assert asked(app, path)[0] in {303, 401}
    assert app.asked == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://tide.example", 200),
        ("https://tide.example", 200),  # of a proxy with TLS
        ("http://tide.example:81", 403),
        ("http://tide.example.evil", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_what_changes_something_comes_from_a_page_of_ours(origin: str, status: int) -> None:
    assert asked(App(), "/exports", "POST", origin=origin, cookie=KNOWN)[0] == status


def test_only_the_address_that_is_set_is_answered() -> None:
    app = App()
    assert asked(app, "/", addresses=("https://other.example",), cookie=KNOWN)[0] == 421
    assert asked(app, "/", addresses=("http://tide.example",), cookie=KNOWN)[0] == 200
    assert app.asked == ["/"]


def test_probes_ask_whether_it_lives_by_any_address() -> None:
    assert asked(App(), "/health", addresses=("https://other.example",))[0] == 200


def test_where_people_come_by_tls_cookies_and_headers_say_so_though_the_proxy_does_not() -> None:
    there = ("https://tide.example",)
    assert asked(App(), "/", addresses=there, cookie=KNOWN)[0] == 303
    status, headers = asked(App(), "/", addresses=there, cookie=f"__Host-{KNOWN}")
    assert (status, "strict-transport-security" in headers) == (200, True)
    assert asked(App(), "/x", "POST", there, origin="http://tide.example", cookie=f"__Host-{KNOWN}")[0] == 403


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    headers: dict[str, Any] = {
        "origin": "http://tide.example",
        "cookie": KNOWN,
        "content_length": str(UPLOAD_BYTES + 1),
    }
    assert asked(App(), "/_nicegui/client/1/upload/2", "POST", **headers)[0] == 413
    assert asked(App(), "/sign-in", "POST", **headers | {"content_length": "many"})[0] == 413


def test_headers_of_the_app_do_not_weaken_ours() -> None:
    _, headers = asked(App(), "/", cookie=KNOWN)
    assert headers["x-frame-options"] == "DENY"
    assert "unsafe-eval" in headers["content-security-policy"]
    assert "unsafe-eval" not in asked(App(), "/sign-in")[1]["content-security-policy"]


def test_a_broken_cookie_beside_does_not_hide_the_session() -> None:
    assert asked(App(), "/", cookie=f'a="b; {KNOWN}; c[]=1')[0] == 200


def test_over_tls_only_the_cookie_of_the_host_counts() -> None:
    assert asked(App(), "/", cookie=KNOWN, x_forwarded_proto="https")[0] == 303
    assert asked(App(), "/", cookie=f"__Host-{KNOWN}", x_forwarded_proto="https")[0] == 200


def test_a_session_is_remembered_for_a_moment_and_forgotten_when_it_ends_here() -> None:
    times, looks = [0.0], []

    def look(text: str) -> str:
        looks.append(text)
        return "somebody"

    sessions = Sessions(look, lambda: times[0])
    assert [sessions.find("a"), sessions.find("a")] == ["somebody"] * 2
    assert looks == ["a"]
    times[0] = 3
    sessions.find("a")
    sessions.forget("a")
    sessions.find("a")
    assert looks == ["a"] * 3
    assert sessions.find("") is None


@pytest.mark.parametrize(("path", "query"), [("/people\0", b""), ("/people", b"id=%00"), ("/sign-in", b"next=a%00b")])
def test_an_address_with_a_zero_byte_is_none(path: str, query: bytes) -> None:
    assert asked(App(), path, query_string=query, cookie=KNOWN)[0] == 400


def test_one_connection_too_many_is_told_to_come_again() -> None:
    status, headers = asked(App(), "/", extensions={OVERLOADED: {}}, cookie=KNOWN)
    assert status == 503
    assert headers["retry-after"] == "5"


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "FORM_SECONDS", 0.01)

    async def never() -> Any:
        await asyncio.Event().wait()

    assert asked(App(), "/sign-in", "POST", received=never, origin="http://tide.example")[0] == 408
