"""Cookies: that of the session, and those that forms and sign-in elsewhere need for some minutes."""

from __future__ import annotations

import http.cookies
from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

SESSION, FORM, ELSEWHERE = "tidemill_session", "tidemill_form", "tidemill_oidc"
#: What only a host itself can set, over TLS.
_OF_HOST = "__Host-"


def is_secure(scope: Scope) -> bool:
    """Whether people reach us by TLS: ours, or that of a proxy. To believe who lies harms the liar alone."""
    forwarded = Headers(scope=scope).get("x-forwarded-proto", "")
    return scope["scheme"] in {"https", "wss"} or forwarded.split(",")[0].strip() == "https"


def read(scope: Scope) -> Mapping[str, str]:
    """The cookies of a request, by our names."""
    found: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
    for value in Headers(scope=scope).getlist("cookie"):
        for pair in value.split(";"):  # one that is broken does not hide the others
            with_one: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
            try:
                with_one.load(pair.strip())
            except http.cookies.CookieError:
                continue
            found.update(with_one)
    secure = is_secure(scope)
    prefix = _OF_HOST if secure else ""
    return {
        name.removeprefix(prefix): morsel.value
        for name, morsel in found.items()
        if name.startswith(prefix) and name.removeprefix(prefix) in {SESSION, FORM, ELSEWHERE}
    }


def put(response: Response, scope: Scope, name: str, value: str, *, seconds: int | None = None) -> None:
    """Give the browser a cookie; without `seconds` it goes when the browser is closed.

    SameSite=Lax: a link to a page, of a message or of the provider of sign-in, is to find who is signed in. What
    changes something is judged by its Origin, and has a token.
    """
    secure = is_secure(scope)
    response.set_cookie(
        (_OF_HOST if secure else "") + name,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def drop(response: Response, scope: Scope, names: Iterable[str]) -> None:
    """Have the browser forget them."""
    secure = is_secure(scope)
    for name in names:
        found = (_OF_HOST if secure else "") + name
        response.delete_cookie(found, path="/", secure=secure, httponly=True, samesite="lax")
