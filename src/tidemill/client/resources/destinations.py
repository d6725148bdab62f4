"""Destinations. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.destinations import (
    DestinationAnswer,
    DestinationChanges,
    DestinationDraft,
    DestinationWanted,
    KindAnswer,
    SaidAnswer,
    WholeKindAnswer,
)


class Destinations:
    """Destinations."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self, *, search: str | None = None, kind: str | None = None, sort: str | None = None, limit: int = 50
    ) -> Iterator[DestinationAnswer]:
        """Destinations, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/destinations", {"search": search, "kind": kind, "sort": sort, "limit": limit}, DestinationAnswer
        )

    def create(self, wanted: DestinationWanted) -> DestinationAnswer:
        """Save a destination. Its credential is not tested: see the test."""
        return core.made(self._core.ask("POST", "/api/v1/destinations", body=wanted), DestinationAnswer)

    def test_draft(self, wanted: DestinationDraft) -> SaidAnswer:
        """Ask the tool who a credential is that is not saved."""
        return core.made(self._core.ask("POST", "/api/v1/destinations/test", body=wanted), SaidAnswer)

    def show(self, name: str) -> DestinationAnswer:
        """One destination."""
        return core.made(self._core.ask("GET", core.path("/api/v1/destinations/{name}", name=name)), DestinationAnswer)

    def edit(self, name: str, wanted: DestinationChanges, *, match: Model | str) -> DestinationAnswer:
        """Change a destination."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/destinations/{name}", name=name), body=wanted, match=match),
            DestinationAnswer,
        )

    def delete(self, name: str, *, match: Model | str) -> None:
        """Delete a destination and its secrets. Refused while syncs use it."""
        self._core.ask("DELETE", core.path("/api/v1/destinations/{name}", name=name), match=match)

    def test(self, name: str) -> SaidAnswer:
        """Ask the tool who the credential is. Some are sent a message, or a row that is deleted again."""
        return core.made(self._core.ask("POST", core.path("/api/v1/destinations/{name}/test", name=name)), SaidAnswer)

    def every(self) -> list[KindAnswer]:
        """All kinds, by name."""
        return [KindAnswer.model_validate(one) for one in self._core.ask("GET", "/api/v1/destination-kinds").json()]

    def one(self, name: str) -> WholeKindAnswer:
        """One kind: the settings of an account, and what each action takes."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/destination-kinds/{name}", name=name)), WholeKindAnswer
        )
