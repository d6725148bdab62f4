"""A server that behaves as the API of Iterable: research on reverse ETL, section 3.3."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY = "iterable-key-0123456789"
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_DISALLOWED = "internal"


class IterableApi(Api):
    """It keeps users by id or address, and events by their ids. `n` is a number in its project."""

    destination = "iterable"

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.forgotten: set[str] = set()

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"api_key": KEY if good else "another-key-9876543210", "region": "eu", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        who = {"email": f"U{number}@example.com"}
        if action == "users":
            return {**who, "plan": "pro", "n": number}
        return {**who, "eventName": "rented", "createdAt": 1793534400, "dataFields": {"n": number}}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        made = self.fields(action, number)
        return {**made, "email": "no address"} if action == "users" else {**made, "eventName": _DISALLOWED}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return f"u{number}@example.com" if action == "users" else number

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        return list(self.users) if action == "users" else [row["dataFields"]["n"] for row in self.events.values()]

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "users"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        if asked.method != "POST":
            return None
        said = asked.json()
        return len(said.get("users") or said.get("events"))

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.headers.get("api-key") != KEY:
            return Reply(401, {"msg": "Invalid API key", "code": "InvalidApiKey", "params": None})
        if asked.method == "DELETE":
            who = urllib.parse.unquote(asked.path.rpartition("/")[2])
            if self.users.pop(who.lower(), None) is None:
                return Reply(400, {"msg": "none", "code": "error.users.noUserWithIdExists", "params": None})
            return Reply(200, {"msg": "", "code": "Success", "params": None})
        if asked.path == "/api/users/getFields":
            return Reply(200, {"fields": {"n": "long"}})
        if len(asked.body) > 4_000_000:
            return Reply(413, {"msg": "too large", "code": "RequestTooLarge", "params": None})
        said = asked.json()
        rows = said.get("users") or said.get("events")
        if any(isinstance((row.get("dataFields") or {}).get("n", 0), str) for row in rows):
            return Reply(400, {"msg": "types", "code": "RequestFieldsTypesMismatched", "params": {"n": "long"}})
        if asked.path == "/api/users/bulkUpdate":
            return Reply(200, self._update(rows, only=bool(said.get("updateOnly"))))
        return (
            Reply(200, self._track(rows)) if asked.path == "/api/events/trackBulk" else Reply(404, {"code": "NotFound"})
        )

    def _update(self, rows: list[dict[str, Any]], *, only: bool) -> dict[str, Any]:
        failed: dict[str, list[str]] = {}
        for row in rows:
            who = _who(row)
            why = self._wrong(row) or ("notFound" if only and who.lower() not in self.users else "")
            if why:
                failed.setdefault(f"{why}{'Emails' if 'email' in row else 'UserIds'}", []).append(who.lower())
            else:
                self.users.setdefault(who.lower(), {}).update(row["dataFields"])
        number = sum(len(names) for names in failed.values())
        return {"successCount": len(rows) - number, "failCount": number, "failedUpdates": failed, "createdFields": []}

    def _track(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        failed: dict[str, list[str]] = {}
        number = 0
        for row in rows:
            why = self._wrong(row)
            if why:
                failed.setdefault(f"{why}{'Emails' if 'email' in row else 'UserIds'}", []).append(_who(row))
            elif row["eventName"] != _DISALLOWED:
                self.events[row["id"]] = row
                continue
            number += 1
        disallowed = [_DISALLOWED] if any(row["eventName"] == _DISALLOWED for row in rows) else []
        counts = {"successCount": len(rows) - number, "failCount": number}
        return {**counts, "disallowedEventNames": disallowed, "failedUpdates": failed}

    def _wrong(self, row: dict[str, Any]) -> str:
        if "email" in row and not _ADDRESS.fullmatch(row["email"]):
            return "invalid"
        return "forgotten" if _who(row) in self.forgotten else ""


def _who(row: dict[str, Any]) -> str:
    return str(row.get("email") or row["userId"])
