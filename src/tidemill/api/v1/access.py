"""Who asks: the token of a request, and the installation as far as it may use it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tidemill.access.guard import refusal
from tidemill.access.permissions import Permission
from tidemill.access.service import TokenView
from tidemill.acting import acting
from tidemill.api.v1.turns import TURN, Turn
from tidemill.app import App
from tidemill.errors import AccessError

_BEARER = HTTPBearer(auto_error=False, description="A token: tidemill token create NAME --scope SCOPE")
#: RFC 6750, section 3.
CHALLENGE = 'Bearer realm="tidemill"'


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who asks. `app`: the installation, as far as they may use it; `by`: how they are called where something is
    written down."""

    token: TokenView
    app: App
    by: str


def may(permission: Permission) -> Callable[..., TokenView]:
    """A dependency: the token of the request, which may do that."""

    def holder(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> TokenView:
        app: App = request.app.state.opened
        if given is None:
            raise HTTPException(401, headers={"www-authenticate": CHALLENGE})
        token = app.tokens.holder(given.credentials)
        if token is None:
            raise HTTPException(401, headers={"www-authenticate": f'{CHALLENGE}, error="invalid_token"'})
        request.state.permission = permission
        if permission not in token.permissions:
            _record(app, token, permission, request)
            raise refusal(token.actor(""), permission)
        return token

    return holder


def _record(app: App, token: TokenView, permission: Permission, request: Request) -> None:
    """Who tried to change something that the token may not is in the audit log, as of all others."""
    if permission.endswith(":read"):
        return
    app.audit.begin(
        actor=token.name,
        actor_kind="token",
        address=request.client.host if request.client else "",
        action=f"api.{request.method.lower()}",
        kind="api",
        name=request.url.path[:300],
        outcome="refused",
        code="scope_missing",
    )


def caller(permission: Permission) -> Callable[..., Awaitable[Caller]]:
    """A dependency: who asks, by a token that may do that."""

    asks = Depends(may(permission))

    async def found(request: Request, token: TokenView = asks) -> Caller:
        turn: Turn = request.scope[TURN]
        if turn.is_slow:  # now that it is known whose it is
            await turn.slow_down(token.id)
        actor = token.actor(request.client.host if request.client else "")
        return Caller(token, acting(request.app.state.opened, actor), actor.by)

    return found


def assert_may(by: Caller, request: Request, permissions: Collection[Permission]) -> None:
    """Raise AccessError if the token may not do all of that; as with one scope of a route, it is written down."""
    for permission in sorted(set(permissions) - by.token.permissions):
        request.state.permission = permission
        _record(request.app.state.opened, by.token, permission, request)
        raise refusal(by.token.actor(""), permission)


def assert_within(by: Caller, permissions: Collection[Permission]) -> None:
    """Raise AccessError if somebody would be given what the token itself may not do."""
    for permission in sorted(set(permissions) - by.token.permissions):
        raise refusal(by.token.actor(""), permission)


def assert_lasting(by: Caller, what: str) -> None:
    """Raise AccessError if the token ends: what would be made by it has no end. `what`: as it is said of them."""
    if by.token.expires_at is not None:
        raise AccessError(
            "not_allowed",
            f"The token {by.token.name} expires, and {what} would outlive it.",
            hint="Do it in the web app or at the command line, or by a token without an expiry.",
        )


def assert_not_longer(by: Caller, seconds: int | None) -> None:
    """Raise AccessError if somebody would be given something that lives longer than the token itself."""
    ends = by.token.expires_at
    if ends is not None and (seconds is None or dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds) > ends):
        raise AccessError(
            "not_allowed",
            f"The token {by.token.name} cannot make one that lives longer than itself.",
            hint="Give expires_seconds, so that it ends earlier.",
        )
