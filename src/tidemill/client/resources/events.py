"""Events. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.events import (
    CompactedAnswer,
    EventAnswer,
    EventCountAnswer,
    EventRejectAnswer,
    EventRejectsChosen,
    EventRetriedAnswer,
    EventRetryWanted,
)
from tidemill.client.models.shared import NumberAnswer


class Events:
    """Events."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        limit: int = 10,
        event: str | None = None,
        distinct_id: str | None = None,
        uuid: str | None = None,
        team_id: int | None = None,
    ) -> list[EventAnswer]:
        """Events, newest first."""
        return [
            EventAnswer.model_validate(one)
            for one in self._core.ask(
                "GET",
                "/api/v1/events",
                query={"limit": limit, "event": event, "distinct_id": distinct_id, "uuid": uuid, "team_id": team_id},
            ).json()
        ]

    def count(
        self, *, group: Literal["event", "team", "day"] | None = None, team_id: int | None = None
    ) -> list[EventCountAnswer]:
        """How many events there are, most first."""
        return [
            EventCountAnswer.model_validate(one)
            for one in self._core.ask("GET", "/api/v1/events/count", query={"group": group, "team_id": team_id}).json()
        ]

    def compact(self) -> CompactedAnswer:
        """Join small files of the event store into larger ones. Safe while others load and export."""
        return core.made(self._core.ask("POST", "/api/v1/events/compact"), CompactedAnswer)

    def rejects(self, *, code: str | None = None, limit: int = 50) -> Iterator[EventRejectAnswer]:
        """Lines that were set aside, newest first."""
        return self._core.pages("/api/v1/events/rejects", {"code": code, "limit": limit}, EventRejectAnswer)

    def export_rejects(self, *, code: str | None = None) -> Iterator[str]:
        """The lines that were set aside, as they came, one a line: mend them, and load them."""
        return self._core.lines("/api/v1/events/rejects/export", {"code": code})

    def retry_rejects(self, wanted: EventRetryWanted | None = None) -> EventRetriedAnswer:
        """Read lines once more, with another mapping if you like."""
        return core.made(self._core.ask("POST", "/api/v1/events/rejects/retry", body=wanted), EventRetriedAnswer)

    def dismiss_rejects(self, wanted: EventRejectsChosen) -> NumberAnswer:
        """List them no longer: somebody has seen to them."""
        return core.made(self._core.ask("POST", "/api/v1/events/rejects/dismiss", body=wanted), NumberAnswer)
