"""Connections. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.connections import (
    ConnectionAnswer,
    ConnectionChanges,
    ConnectionCreate,
    ConnectionItem,
    ConnectionStatus,
    ConnectionWanted,
    DatasetAnswer,
    DeletedAnswer,
    EgressAnswer,
    GoogleSetUpAnswer,
    SetUpAnswer,
    UseAnswer,
)
from tidemill.client.models.shared import StepsAnswer


class Connections:
    """Connections."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        connected_after: datetime | None = None,
        connected_before: datetime | None = None,
        connected_by: str | None = None,
        used_by: Literal["export", "sync", "import", "nothing"] | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[ConnectionItem]:
        """Connections, oldest first, or as it is asked for."""
        return self._core.pages(
            "/api/v1/connections",
            {
                "search": search,
                "connected_after": connected_after,
                "connected_before": connected_before,
                "connected_by": connected_by,
                "used_by": used_by,
                "sort": sort,
                "limit": limit,
            },
            ConnectionItem,
        )

    def create(self, wanted: ConnectionCreate) -> ConnectionAnswer:
        """Save a new connection. It is not tested: see the test."""
        return core.made(self._core.ask("POST", "/api/v1/connections", body=wanted), ConnectionAnswer)

    def test_draft(self, wanted: ConnectionWanted, *, use: Literal["batch", "streaming"] = "batch") -> StepsAnswer:
        """Test a connection that is not saved."""
        return core.made(
            self._core.ask("POST", "/api/v1/connections/test", query={"use": use}, body=wanted), StepsAnswer
        )

    def show(self, name: str) -> ConnectionAnswer:
        """One connection."""
        return core.made(self._core.ask("GET", core.path("/api/v1/connections/{name}", name=name)), ConnectionAnswer)

    def edit(self, name: str, wanted: ConnectionChanges, *, match: Model | str) -> ConnectionAnswer:
        """Change a connection: for what is begun from now on."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/connections/{name}", name=name), body=wanted, match=match),
            ConnectionAnswer,
        )

    def delete(
        self, name: str, *, match: Model | str, with_uses: bool = False, wait_seconds: float = 30, force: bool = False
    ) -> DeletedAnswer:
        """Delete a connection and its credential; the data in BigQuery stays."""
        return core.made(
            self._core.ask(
                "DELETE",
                core.path("/api/v1/connections/{name}", name=name),
                query={"with_uses": with_uses, "wait_seconds": wait_seconds, "force": force},
                match=match,
            ),
            DeletedAnswer,
        )

    def status(self, name: str) -> ConnectionStatus:
        """How a connection stands: its last test, step by step, and what became of what used it since."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/connections/{name}/status", name=name)), ConnectionStatus
        )

    def uses(self, name: str) -> list[UseAnswer]:
        """What uses a connection, and what of it is at work."""
        return [
            UseAnswer.model_validate(one)
            for one in self._core.ask("GET", core.path("/api/v1/connections/{name}/uses", name=name)).json()
        ]

    def test(self, name: str, *, use: Literal["batch", "streaming"] = "batch") -> StepsAnswer:
        """Test a connection, step by step: each that fails says what to do. A small table is made in its dataset,
        filled, and deleted. What was found is kept: see the status."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/connections/{name}/test", name=name), query={"use": use}),
            StepsAnswer,
        )

    def datasets(self, name: str) -> list[DatasetAnswer]:
        """The datasets that its account may see."""
        return [
            DatasetAnswer.model_validate(one)
            for one in self._core.ask("GET", core.path("/api/v1/connections/{name}/datasets", name=name)).json()
        ]

    def set_up(self, name: str, *, use: Literal["batch", "streaming"] = "batch") -> SetUpAnswer:
        """What is to be granted to its account, as commands."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/connections/{name}/set-up", name=name), query={"use": use}),
            SetUpAnswer,
        )

    def set_up_of(
        self,
        *,
        project: str,
        dataset: str,
        account: str | None = None,
        purpose: Literal["batch", "streaming", "read-only", "limited", "full"] = "batch",
        location: str | None = None,
        state_dataset: str | None = None,
    ) -> GoogleSetUpAnswer:
        """What is to be set up in Google Cloud for a connection that is not saved yet. Nothing is granted by this."""
        return core.made(
            self._core.ask(
                "GET",
                "/api/v1/set-up",
                query={
                    "project": project,
                    "dataset": dataset,
                    "account": account,
                    "purpose": purpose,
                    "location": location,
                    "state_dataset": state_dataset,
                },
            ),
            GoogleSetUpAnswer,
        )

    def addresses(self) -> EgressAnswer:
        """From which addresses this installation reaches Google and others, for their allow-lists. Nothing is asked
        of the network: they are those of the setting egress_ips."""
        return core.made(self._core.ask("GET", "/api/v1/egress-ips"), EgressAnswer)
