"""Intercom's API: contacts one by one, found by a search that may be late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

TOKEN = "dG9rOmdvb2Q="
ATTRIBUTES = {"plan", "seats"}


class IntercomApi(Api):
    """See the module. `late`: the search sees nothing new; `mute`: a conflict does not name the contact."""

    destination = "intercom"

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, dict[str, Any]] = {}
        self.archived: set[str] = set()
        self.made = 0
        self.late = 0
        self.mute = False

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"token": TOKEN if good else "dG9rOmJhZA==", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:  # noqa: ARG002
        """See Api."""
        return {"external_id": f"u{number}", "email": f"p{number}@example.com", "custom_attributes": {"seats": number}}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        return {**self.fields(action, number), "custom_attributes": {"none_such": 1}}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"u{number}"

    def taken(self, action: str) -> Sequence[Any]:  # noqa: ARG002
        """See Api."""
        return [one.get("external_id") for key, one in self.contacts.items() if key not in self.archived]

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.method != "GET" and not asked.path.endswith("/search")

    def forgets(self, action: str) -> bool:  # noqa: ARG002
        """See Api."""
        return True

    def rows_of(self, asked: Asked) -> int | None:  # noqa: ARG002
        """See Api."""
        return 1

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _wrong(401, "unauthorized", "Access Token Invalid")
        match asked.method, asked.path.strip("/").split("/"):
            case "GET", ["me"]:
                return Reply(200, {"type": "admin", "id": "1", "app": {"type": "app", "name": "Acme"}})
            case "POST", ["contacts", "search"]:
                return self._search(asked.json()["query"])
            case "POST", ["contacts"]:
                return self._create(asked.json())
            case "POST", ["contacts", key, "archive" | "unarchive" as verb] if key in self.contacts:
                (self.archived.add if verb == "archive" else self.archived.discard)(key)
                return Reply(200, {"id": key, "object": "contact", "archived": verb == "archive"})
            case "GET", ["contacts", key] if key in self.contacts:
                return Reply(200, {"type": "contact", "id": key, **self.contacts[key]})
            case "PUT", ["contacts", key] if key in self.contacts:
                wrong = self._refused(asked.json())
                self.contacts[key] |= {} if wrong else asked.json()
                return wrong or Reply(200, {"type": "contact", "id": key})
            case "DELETE", ["contacts", key] if key in self.contacts:
                del self.contacts[key]
                return Reply(200, {"type": "contact", "id": key, "deleted": True})
        return _wrong(404, "not_found", "User Not Found")

    def _search(self, query: dict[str, str]) -> Reply:
        assert query["operator"] == "="
        seen = list(self.contacts.items())
        if self.late > 0:
            self.late -= 1
            seen = []
        found = [
            {"type": "contact", "id": key}
            for key, one in seen
            if key not in self.archived and one.get(query["field"]) == query["value"]
        ]
        return Reply(200, {"type": "list", "data": found, "total_count": len(found)})

    def _refused(self, said: dict[str, Any]) -> Reply | None:
        odd = set(said.get("custom_attributes", {})) - ATTRIBUTES
        if odd:
            return _wrong(400, "parameter_invalid", f"Custom attribute '{odd.pop()}' does not exist")
        return None

    def _create(self, said: dict[str, Any]) -> Reply:
        for key, one in self.contacts.items():
            if said.get("external_id") and one.get("external_id") == said["external_id"]:
                named = "" if self.mute else f" with id={key}"
                archived = "An archived contact" if key in self.archived else "A contact"
                return _wrong(409, "conflict", f"{archived} matching those details already exists{named}")
        wrong = self._refused(said)
        if wrong is not None:
            return wrong
        self.made += 1
        key = f"6762f1{self.made:06x}"
        self.contacts[key] = said
        return Reply(200, {"type": "contact", "id": key})


def _wrong(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"type": "error.list", "request_id": "x", "errors": [{"code": code, "message": message}]})
