"""Hooks. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.hooks import HookAnswer, HookCreated


class Hooks:
    """Hooks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def of_export(self, name: str, *, sort: str | None = None, limit: int = 50) -> Iterator[HookAnswer]:
        """Its hooks, oldest first, or as it is asked for."""
        return self._core.pages(
            core.path("/api/v1/exports/{name}/hooks", name=name), {"sort": sort, "limit": limit}, HookAnswer
        )

    def create_of_export(self, name: str) -> HookCreated:
        """Make a hook. Its secret is shown this once. A token that expires makes none: it would outlive it."""
        return core.made(self._core.ask("POST", core.path("/api/v1/exports/{name}/hooks", name=name)), HookCreated)

    def revoke_of_export(self, name: str, start: str) -> None:
        """Nothing is run by that hook from now on."""
        self._core.ask("DELETE", core.path("/api/v1/exports/{name}/hooks/{start}", name=name, start=start))

    def of_sync(self, name: str, *, sort: str | None = None, limit: int = 50) -> Iterator[HookAnswer]:
        """Its hooks, oldest first, or as it is asked for."""
        return self._core.pages(
            core.path("/api/v1/syncs/{name}/hooks", name=name), {"sort": sort, "limit": limit}, HookAnswer
        )

    def create_of_sync(self, name: str) -> HookCreated:
        """Make a hook. Its secret is shown this once. A token that expires makes none: it would outlive it."""
        return core.made(self._core.ask("POST", core.path("/api/v1/syncs/{name}/hooks", name=name)), HookCreated)

    def revoke_of_sync(self, name: str, start: str) -> None:
        """Nothing is run by that hook from now on."""
        self._core.ask("DELETE", core.path("/api/v1/syncs/{name}/hooks/{start}", name=name, start=start))
