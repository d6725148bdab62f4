"""Keys. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.keys import KeyAnswer, KeyCreated, KeyWanted


class Keys:
    """Keys."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        state: Literal["valid", "revoked"] | None = None,
        revoked: bool = False,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[KeyAnswer]:
        """Keys, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/keys",
            {"search": search, "state": state, "revoked": revoked, "sort": sort, "limit": limit},
            KeyAnswer,
        )

    def create(self, wanted: KeyWanted) -> KeyCreated:
        """Make a key. It is shown this once. A token that expires makes none: it would outlive it."""
        return core.made(self._core.ask("POST", "/api/v1/keys", body=wanted), KeyCreated)

    def revoke(self, name: str) -> KeyAnswer:
        """Nothing that is sent by that key from now on is taken."""
        return core.made(self._core.ask("POST", core.path("/api/v1/keys/{name}/revoke", name=name)), KeyAnswer)
