"""A server that behaves as Amplitude: a batch is taken as a whole or not at all; wrong events are named by place."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY, SECRET = "good-api-key", "good-secret-key"


class AmplitudeApi(Api):
    """See the module."""

    destination = "amplitude"

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.members: set[str] = set()

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        keys = {"api_key": KEY, "secret_key": SECRET} if good else {"api_key": "bad-key-1", "secret_key": "bad-key-2"}
        return {**keys, "endpoint": self.url, "analytics_endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        user = {"user_id": f"user-{number}"}
        own: dict[str, dict[str, Any]] = {
            "track": {**user, "event_type": "Paid", "time": 1_700_000_000 + number, "amount": 5, "country": "DE"},
            "identify": {**user, "plan": "pro"},
            "group": {"group_type": "company", "group_value": f"group-{number}", "name": "Acme & Söhne"},
            "cohort": {**user, "cohort_id": "c1"},
        }
        return own[action]

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        wrong = {"group": {"group_type": "none that there is"}, "cohort": {"user_id": "stranger"}}
        return {**self.fields(action, number), **wrong.get(action, {"time": -5})}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return f"{'group' if action == 'group' else 'user'}-{number}"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        if action in {"group", "cohort"}:
            return list(self.groups if action == "group" else self.members)
        wanted = "$identify" if action == "identify" else "Paid"
        return [event["user_id"] for event in self.events.values() if event["event_type"] == wanted]

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "cohort"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        if asked.path == "/batch":
            return len(asked.json()["events"])
        if asked.path == "/groupidentify":
            return len(json.loads(dict(urllib.parse.parse_qsl(asked.body.decode()))["identification"]))
        return len(asked.json()["memberships"][0]["ids"]) if asked.method == "POST" else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path == "/batch":
            return self._batch(asked)
        if asked.path in {"/groupidentify", "/identify"}:
            return self._identify(asked)
        signed = base64.b64decode(asked.headers.get("authorization", "").removeprefix("Basic ")).decode()
        if signed != f"{KEY}:{SECRET}":
            return Reply(403, {"error": "Invalid credentials"})
        return Reply(200, {"matches": []}) if asked.method == "GET" else self._cohort(asked)

    def _batch(self, asked: Asked) -> Reply:
        said = asked.json()
        events = said["events"]
        if said["api_key"] != KEY:
            return Reply(400, {"code": 400, "error": f"Invalid API key: {said['api_key']}"})
        if len(events) > 2_000 or len(asked.body) > 20_000_000:
            return Reply(413, {"code": 413, "error": "Payload too large"})
        least = said.get("options", {}).get("min_id_length", 5)
        missing = [at for at, one in enumerate(events) if len(one.get("user_id") or one.get("device_id") or "") < least]
        invalid = [at for at, one in enumerate(events) if one.get("time", 1) <= 0]
        if missing or invalid:
            wrong = {
                "events_with_missing_fields": {"user_id": missing} if missing else {},
                "events_with_invalid_fields": {"time": invalid} if invalid else {},
            }
            return Reply(400, {"code": 400, "error": "Invalid field values on some events", **wrong})
        for one in events:
            self.events.setdefault((one["insert_id"], one.get("device_id") or one["user_id"]), one)
        return Reply(200, {"code": 200, "events_ingested": len(events)})

    def _identify(self, asked: Asked) -> Reply:
        form = dict(urllib.parse.parse_qsl(asked.body.decode(), strict_parsing=True))
        if form["api_key"] != KEY:
            return Reply(400, b"invalid_api_key")
        found = json.loads(form["identification"])
        if len(found) > 1_024 or len(asked.body) > 1_000_000:
            return Reply(413, b"too large")
        if any(group["group_type"] != "company" for group in found):
            return Reply(400, b"invalid group_type")
        self.groups.update({group["group_value"]: group for group in found})
        return Reply(200, b"success")

    def _cohort(self, asked: Asked) -> Reply:
        said = asked.json()
        if said["cohort_id"] != "c1":
            return Reply(404, {"error": {"error": "not_found", "message": "no such cohort"}})
        results = []
        for change in said["memberships"]:
            known = {one for one in change["ids"] if one.startswith("user-")}
            self.members = self.members | known if change["operation"] == "ADD" else self.members - known
            results.append({"skipped_ids": sorted(set(change["ids"]) - known), "operation": change["operation"]})
        return Reply(200, {"cohort_id": "c1", "memberships_result": results})
