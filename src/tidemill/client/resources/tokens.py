"""Tokens. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.tokens import TokenAnswer, TokenCreated, TokenWanted


class Tokens:
    """Tokens."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        state: Literal["valid", "expired", "revoked"] | None = None,
        revoked: bool = False,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[TokenAnswer]:
        """Tokens, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/tokens",
            {"search": search, "state": state, "revoked": revoked, "sort": sort, "limit": limit},
            TokenAnswer,
        )

    def create(self, wanted: TokenWanted) -> TokenCreated:
        """Make a token, of scopes that the asking one has, too. It is shown this once."""
        return core.made(self._core.ask("POST", "/api/v1/tokens", body=wanted), TokenCreated)

    def revoke(self, name: str) -> TokenAnswer:
        """Nothing is done by that token from now on."""
        return core.made(self._core.ask("POST", core.path("/api/v1/tokens/{name}/revoke", name=name)), TokenAnswer)
