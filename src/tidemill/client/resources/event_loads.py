"""Event loads. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Literal
from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core, Event
from tidemill.client.models.event_loads import EventLoadAnswer


class EventLoads:
    """Event loads."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def load(
        self,
        content: IO[bytes],
        *,
        file: str = "a file",
        format: Literal["auto", "posthog", "segment", "amplitude", "mixpanel", "jsonl", "csv", "parquet"] = "auto",
        team_id: int | None = None,
        map: list[str] | None = None,
        event: str | None = None,
    ) -> EventLoadAnswer:
        """Send a file of events: a worker loads it. What is in the store already is not added again, so a file may
        be sent again if the answer was lost; a bad line is set aside."""
        return core.made(
            self._core.send(
                "/api/v1/events/loads",
                content,
                query={"file": file, "format": format, "team_id": team_id, "map": map, "event": event},
            ),
            EventLoadAnswer,
        )

    def find(self, *, limit: int = 50) -> Iterator[EventLoadAnswer]:
        """Files that were sent, newest first; for a month."""
        return self._core.pages("/api/v1/events/loads", {"limit": limit}, EventLoadAnswer)

    def show(self, load_id: UUID) -> EventLoadAnswer:
        """How the load of a file stands. While it is not over, Retry-After says when to look again."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/events/loads/{load_id}", load_id=load_id)), EventLoadAnswer
        )

    def progress(self, load_id: UUID) -> Iterator[Event]:
        """How the load of a file goes on, as Server-Sent Events, until it is over."""
        return self._core.events(core.path("/api/v1/events/loads/{load_id}/events", load_id=load_id))

    def cancel(self, load_id: UUID) -> EventLoadAnswer:
        """Ask for one to stop. What was added by then stays; the same file, sent again, goes on from there."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/events/loads/{load_id}/cancel", load_id=load_id)), EventLoadAnswer
        )
