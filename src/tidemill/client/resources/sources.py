"""Sources. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.shared import StepsAnswer
from tidemill.client.models.sources import GrantsAnswer, SourceAnswer, SourceWanted


class Sources:
    """Sources."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(self, *, limit: int = 50) -> Iterator[SourceAnswer]:
        """All sources, by the names of their connections."""
        return self._core.pages("/api/v1/sources", {"limit": limit}, SourceAnswer)

    def show(self, name: str) -> SourceAnswer:
        """The source that a connection is."""
        return core.made(self._core.ask("GET", core.path("/api/v1/sources/{name}", name=name)), SourceAnswer)

    def enable(self, name: str, wanted: SourceWanted | None = None) -> StepsAnswer:
        """Test a connection as a source, step by step; unless a step fails, it is one then."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/sources/{name}/enable", name=name), body=wanted), StepsAnswer
        )

    def test(self, name: str) -> StepsAnswer:
        """Test a source, step by step: each that fails says what to do."""
        return core.made(self._core.ask("POST", core.path("/api/v1/sources/{name}/test", name=name)), StepsAnswer)

    def disable(self, name: str) -> None:
        """The connection is no source any more. Refused while source models use it; its state dataset stays."""
        self._core.ask("POST", core.path("/api/v1/sources/{name}/disable", name=name))

    def set_up(
        self, name: str, *, access: Literal["full", "limited", "read-only"] = "full", state_dataset: str | None = None
    ) -> GrantsAnswer:
        """What is to be granted to the account of a connection, so that it can be a source."""
        return core.made(
            self._core.ask(
                "GET",
                core.path("/api/v1/sources/{name}/set-up", name=name),
                query={"access": access, "state_dataset": state_dataset},
            ),
            GrantsAnswer,
        )
