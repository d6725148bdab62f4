"""Tokens. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.tokens import TokenAnswer, TokenCreated, TokenWanted


class Tokens:
    """Tokens."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(self, *, revoked: bool = False, limit: int = 50) -> Iterator[TokenAnswer]:
        """Tokens, by name."""
        return self._core.pages("/api/v1/tokens", {"revoked": revoked, "limit": limit}, TokenAnswer)

    def create(self, wanted: TokenWanted) -> TokenCreated:
        """Make a token, of scopes that the asking one has, too. It is shown this once."""
        return core.made(self._core.ask("POST", "/api/v1/tokens", body=wanted), TokenCreated)

    def revoke(self, name: str) -> TokenAnswer:
        """Nothing is done by that token from now on."""
        return core.made(self._core.ask("POST", core.path("/api/v1/tokens/{name}/revoke", name=name)), TokenAnswer)
