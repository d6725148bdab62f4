"""A server that behaves as Customer.io's Track API, version 2: research on reverse ETL, section 3.3."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

SITE, KEY = "site-1", "customerio-key-0123456789"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class CustomerioApi(Api):
    """It keeps people and objects by their ids, and events by theirs."""

    destination = "customerio"

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, dict[str, dict[str, Any]]] = {"people": {}, "events": {}, "objects": {}}

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {
            "site_id": SITE,
            "api_key": KEY if good else "another-key-9876543210",
            "region": "eu",
            "endpoint": self.url,
        }

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        if action == "objects":
            return {"object_type_id": "1", "object_id": f"o{number}", "name": f"Company {number}", "people": ["u1"]}
        who = {"id": f"u{number}", "email": f"u{number}@example.com"}
        if action == "people":
            return {**who, "plan": "pro", "created_at": "2026-11-01T12:00:00Z"}
        return {**who, "name": "rented", "timestamp": 1793534400 + number, "attributes": {"n": number}}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        made = self.fields(action, number)
        if action == "people":
            return {**made, "email": "no address"}
        return {**made, "object_type_id": "none"} if action == "objects" else {**made, "name": " "}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return {"people": f"u{number}", "events": number, "objects": f"1/o{number}"}[action]

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        if action == "events":
            return [row["attributes"]["n"] for row in self.kept["events"].values()]
        return list(self.kept[action])

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action != "events"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["batch"]) if asked.method == "POST" else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        sign = base64.b64encode(f"{SITE}:{KEY}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {sign}":
            return Reply(401, {"meta": {"error": "Unauthorized request"}})
        if asked.path == "/api/v1/accounts/region":
            return Reply(200, {"region": "eu", "url": "track-eu.customer.io", "environment_id": 1})
        if asked.path != "/api/v2/batch":
            return Reply(404, {"meta": {"error": "not found"}})
        if len(asked.body) > 500_000:
            return Reply(400, {"meta": {"error": "payload too large"}})
        errors = []
        for index, row in enumerate(asked.json()["batch"]):
            wrong = _wrong(row)
            if wrong:
                errors.append({"batch_index": index, "reason": wrong[0], "field": wrong[1], "message": wrong[2]})
            else:
                self._keep(row)
        return Reply(207, {"errors": errors}) if errors else Reply(200, {})

    def _keep(self, row: dict[str, Any]) -> None:
        who = "/".join(str(value) for value in row["identifiers"].values())
        of = {"person": "people", "object": "objects"}[row["type"]]
        if row["action"] == "event":
            self.kept["events"].setdefault(row["id"], row)
        elif row["action"] == "delete":
            self.kept[of].pop(who, None)
        elif who in self.kept[of] or not row["attributes"].get("_update"):
            self.kept[of].setdefault(who, {}).update(row["attributes"])


def _wrong(row: dict[str, Any]) -> tuple[str, str, str] | None:
    if len(json.dumps(row)) > 32 * 1024:
        return "invalid", "", "the entry is too large"
    email = row.get("attributes", {}).get("email") or row["identifiers"].get("email")
    if email is not None and not _ADDRESS.fullmatch(email):
        return "invalid", "email", "must be an address"
    if row["type"] == "object" and not row["identifiers"]["object_type_id"].isdigit():
        return "invalid", "object_type_id", "must be a number"
    if row["action"] == "event":
        if not row["name"].strip():
            return "required", "name", "must not be blank"
        if not _ULID.fullmatch(row["id"]) or not isinstance(row.get("timestamp", 0), int):
            return "invalid", "id", "must be a ULID"
    return None
