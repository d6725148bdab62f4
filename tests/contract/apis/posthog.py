"""A server that behaves as PostHog's capture API: 200 for nearly all, and what is wrong with an event is not said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY, PERSONAL_KEY = "phc_good", "phx_good"
PERSONS = "/api/projects/12/persons/"
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
        keys = {"project_key": KEY, "personal_key": PERSONAL_KEY}
        bad = {"project_key": "phc_unknown", "personal_key": "phx_unknown"}
        return {**(keys if good else bad), "project_id": "12", "endpoint": self.url}

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

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "identify"

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.path == "/batch/"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["batch"]) if self.delivers(asked) else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path.startswith(PERSONS):
            return self._persons(asked)
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

    def _persons(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {PERSONAL_KEY}":
            return Reply(401, {"type": "authentication_error", "code": "authentication_failed"})
        if asked.method == "GET":
            return Reply(200, {"results": []})
        ids = set(asked.json()["distinct_ids"])
        if len(ids) > 1_000:
            return Reply(400, {"detail": "You can only pass 1000 ids in one call"})
        gone = [key for key, event in self.events.items() if event["distinct_id"] in ids]
        for key in gone:
            del self.events[key]
        return Reply(200, {"persons_found": len(gone), "persons_deleted": len(gone), "deletion_errors": []})
