"""A server that behaves as Segment's Tracking API: 200 for nearly all, and what is wrong with a call is not said."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY = "good-write-key"
CALLS = frozenset({"identify", "track", "group", "page", "screen", "alias"})


class SegmentApi(Api):
    """See the module. `refuses`: a trait for which it refuses the whole request."""

    destination = "segment"
    names_rows = False

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, dict[str, Any]] = {}

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        key = KEY if good else "bad-write-key"
        return {"write_key": key, "endpoint": self.url, "key_endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        own: dict[str, dict[str, Any]] = {
            "track": {"event": "Signed Up", "plan": "pro"},
            "group": {"group_id": f"g{number % 7}", "name": "Acme"},
            "page": {"name": "Home"},
            "screen": {"name": "Start"},
            "alias": {"previous_id": f"old-{number}"},
        }
        return {"user_id": f"u{number}", "timestamp": 1_700_000_000 + number, **own.get(action, {"plan": "pro"})}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api: the request that holds it is refused."""
        return {**self.fields(action, number), "context": {"refuse": True}}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"u{number}"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        return [call["userId"] for call in self.calls.values() if call["type"] == action]

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["batch"]) if asked.method == "POST" else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.method == "GET":
            known = asked.path == f"/v1/projects/{KEY}/settings"
            return Reply(200, {"integrations": {}}) if known else Reply(404, {"error": "not found"})
        said = asked.json()
        if asked.path != "/v1/batch":
            return Reply(404)
        if len(asked.body) > 500_000 or any(call.get("context", {}).get("refuse") for call in said["batch"]):
            return Reply(400, {"success": False, "message": "malformed batch"})
        signed = asked.headers.get("authorization", "").removeprefix("Basic ")
        mine = base64.b64decode(signed).decode() == f"{KEY}:"
        if not mine or len(said["batch"]) > 2_500:
            return Reply(200, {"success": True})  # and all of it is lost
        for call in said["batch"]:
            whole = call["type"] in CALLS and (call.get("userId") or call.get("anonymousId"))
            if whole and (call["type"] != "track" or call.get("event")):
                self.calls.setdefault(call["messageId"], call)
        return Reply(200, {"success": True})
