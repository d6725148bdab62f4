"""Who asks: the token of a request, and whether it may do what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tidemill.access.guard import refusal
from tidemill.access.permissions import Permission

if TYPE_CHECKING:
    from tidemill.access.service import TokenView
    from tidemill.app import App

_BEARER = HTTPBearer(auto_error=False, description="A token: tidemill token create NAME --scope SCOPE")
#: RFC 6750, section 3.
CHALLENGE = 'Bearer realm="tidemill"'


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
            raise refusal(token.actor(""), permission)
        return token

    return holder
