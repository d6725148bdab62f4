"""Channels. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.channels import (
    ChannelAnswer,
    ChannelChanges,
    ChannelCreated,
    ChannelItem,
    ChannelTestAnswer,
    ChannelWanted,
    MessageAnswer,
)


class Channels:
    """Channels."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        kind: Literal["email", "webhook", "slack"] | None = None,
        failing: bool | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[ChannelItem]:
        """Channels, by name, or as it is asked for, each with how it works."""
        return self._core.pages(
            "/api/v1/channels",
            {"search": search, "kind": kind, "failing": failing, "sort": sort, "limit": limit},
            ChannelItem,
        )

    def create(self, wanted: ChannelWanted) -> ChannelCreated:
        """Make a channel."""
        return core.made(self._core.ask("POST", "/api/v1/channels", body=wanted), ChannelCreated)

    def show(self, name: str) -> ChannelAnswer:
        """One channel."""
        return core.made(self._core.ask("GET", core.path("/api/v1/channels/{name}", name=name)), ChannelAnswer)

    def edit(self, name: str, wanted: ChannelChanges, *, match: Model | str) -> ChannelAnswer:
        """Change a channel."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/channels/{name}", name=name), body=wanted, match=match),
            ChannelAnswer,
        )

    def delete(self, name: str, *, match: Model | str) -> None:
        """Delete a channel, with its secret and its messages."""
        self._core.ask("DELETE", core.path("/api/v1/channels/{name}", name=name), match=match)

    def messages(self, name: str, *, limit: int = 20) -> list[MessageAnswer]:
        """Its messages, newest first."""
        return [
            MessageAnswer.model_validate(one)
            for one in self._core.ask(
                "GET", core.path("/api/v1/channels/{name}/messages", name=name), query={"limit": limit}
            ).json()
        ]

    def test_all(self) -> list[ChannelTestAnswer]:
        """Send a test message now by each channel."""
        return [ChannelTestAnswer.model_validate(one) for one in self._core.ask("POST", "/api/v1/channels/test").json()]

    def test(self, name: str) -> ChannelTestAnswer:
        """Send a test message now."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/channels/{name}/test", name=name)), ChannelTestAnswer
        )
