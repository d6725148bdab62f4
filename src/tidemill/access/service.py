"""What a user can do with tokens: make, see and revoke them; and whom a token lets in."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hmac
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import pydantic

from tidemill import invalid
from tidemill.access.actor import Actor
from tidemill.access.permissions import Permission
from tidemill.access.spec import TokenSpec
from tidemill.bearer import TOKEN, digest
from tidemill.paging import Page, Wanted, assert_known

#: How tokens are; and by what they are sorted.
STATES = ("valid", "expired", "revoked")
SORTS = ("name", "created_at", "created_by", "expires_at")


class Tokens(Protocol):
    """The repository of tokens."""

    def add(self, **fields: Any) -> Any:
        """Save a new one."""

    def find(self, *, revoked: bool = False) -> list[Any]:
        """All of them."""

    def page(
        self, *, search: str | None = None, state: str | None = None, revoked: bool = False, wanted: Wanted
    ) -> Page[Any]:
        """The same by pages."""

    def by_hash(self, digest: bytes) -> Any:
        """The one with that hash, unless it is revoked."""

    def revoke(self, name: str) -> Any:
        """Revoke one."""


@dataclasses.dataclass(frozen=True)
class TokenView:
    """A token, of which only the start is known. `expires_at`: None if it does not."""

    id: uuid.UUID
    name: str
    start: str
    scopes: tuple[str, ...]
    expires_at: dt.datetime | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it may do, of what there is to do now."""
        return frozenset(one for one in Permission if one in self.scopes)

    def actor(self, address: str) -> Actor:
        """As whom its holder does things."""
        return Actor(self.name, "token", self.permissions, address)


class TokenService:
    """Tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def create(
        self, *, name: str, scopes: Sequence[Permission], expires_seconds: int | None, by: str
    ) -> tuple[str, TokenView]:
        """Make a token; it is shown this once.

        Raises
        ------
        ConfigError, ConflictError
            The name or the expiry is none, or the name is taken.
        """
        try:
            spec = TokenSpec.model_validate(
                {"name": name, "scopes": tuple(dict.fromkeys(scopes)), "expires_seconds": expires_seconds}
            )
        except pydantic.ValidationError as error:
            raise invalid.said(error, TokenSpec, "token") from None
        seconds = spec.expires_seconds
        token = TOKEN.make()
        made = self._tokens.add(
            name=spec.name,
            scopes=[str(scope) for scope in spec.scopes],
            expires_at=None if seconds is None else dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds),
            hash=digest(token),
            start=TOKEN.start(token),
            created_by=by,
        )
        return token, _view(made)

    def find(self, *, revoked: bool = False) -> list[TokenView]:
        """All tokens; with `revoked`, those too that are revoked."""
        return [_view(token) for token in self._tokens.find(revoked=revoked)]

    def page(
        self,
        *,
        search: str | None = None,
        state: str | None = None,
        revoked: bool = False,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[TokenView]:
        """The same by pages, by one of SORTS. `search`: in the name; `state`: one of STATES, whatever `revoked` is."""
        assert_known("state", state, STATES)
        return self._tokens.page(search=search, state=state, revoked=revoked, wanted=wanted).map(_view)

    def revoke(self, name: str) -> TokenView:
        """Nothing is done by that token from now on.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        return _view(self._tokens.revoke(name))

    def holder(self, text: str) -> TokenView | None:
        """The token that this text is; None if it is none, is revoked, or has expired."""
        if not TOKEN.looks_like(text):
            return None
        hashed = digest(text)
        found = self._tokens.by_hash(hashed)
        if found is None or not hmac.compare_digest(found.hash, hashed):
            return None
        if found.expires_at is not None and found.expires_at <= dt.datetime.now(dt.UTC):
            return None
        return _view(found)


def _view(token: Any) -> TokenView:
    fields = {field.name: getattr(token, field.name) for field in dataclasses.fields(TokenView)}
    return TokenView(**fields | {"scopes": tuple(token.scopes)})
