"""A server that behaves as PostHog's capture API: 200 for nearly all, and what is wrong with an event is not said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY = "phc_good"
EVENTS = {"identify": "$set", "group": "$groupidentify", "alias": "$create_alias", "capture": "signed up"}


class PosthogApi(Api):
    """See the module."""

    destination = "posthog"
    names_rows = False

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"project_key": KEY if good else "phc_unknown", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        own: dict[str, dict[str, Any]] = {
            "capture": {"event": "signed up", "plan": "pro"},
            "identify": {"plan": "pro"},
            "group": {"group_type": "company", "group_key": f"g{number}", "name": "Acme"},
            "alias": {"alias": f"a{number}"},
        }
        return {"distinct_id": f"u{number}", "timestamp": 1_700_000_000 + number, **own[action]}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api: an event that outgrows the 1 MB of Kafka, once it is in its envelope there (its quotes doubled)."""
        return {**self.fields(action, number), "text": '"' * 420_000} if action != "alias" else None

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"u{number}"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        return [event["distinct_id"] for event in self.events.values() if event["event"] == EVENTS[action]]

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.path == "/batch/"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["batch"]) if self.delivers(asked) else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        said = asked.json()
        if asked.path == "/flags/":
            refused = {"type": "authentication_error", "code": "invalid_api_key", "detail": "Project API key invalid."}
            return Reply(200, {"flags": {}}) if said["api_key"] == KEY else Reply(401, refused)
        if len(asked.body) > 20_000_000:
            return Reply(413, b"length limit exceeded")
        if any(len(str(event)) + str(event).count('"') > 1_000_000 / 1.2 for event in said["batch"]):
            return Reply(413, b"maximum event size exceeded: Event rejected by kafka during send")
        for event in said["batch"]:
            if said["api_key"] == KEY and event.get("event") and event.get("distinct_id"):
                known = (event["uuid"], event["event"], event["distinct_id"], event.get("timestamp"))
                self.events.setdefault(known, event)
        return Reply(200, {"status": "Ok"})
