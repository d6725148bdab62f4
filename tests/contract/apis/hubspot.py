"""HubSpot's API: objects that are known by a property, in batches of a hundred, and static lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

TOKEN = "pat-eu1-good-token"
PROPERTIES = {"email", "firstname", "plan", "lifecyclestage"}


class HubSpotApi(Api):
    """See the module. `objects`: of contacts, by HubSpot's id; `writes`: how often each was written."""

    destination = "hubspot"

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Any]] = {}
        self.archived: list[str] = []
        self.members: list[str] = []

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"token": TOKEN if good else "pat-eu1-bad-token", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        if action == "list":
            self.objects.setdefault(str(1_000 + number), {"email": f"p{number}@example.com"})
            return {"list_id": "77", "id": f"P{number}@example.com", "id_property": "email"}
        return {
            "object_type": "contacts",
            "id_property": "email",
            "id": f"p{number}@example.com",
            "properties": {"firstname": f"P{number}", "plan": None},
        }

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        made = self.fields(action, number)
        if action == "list":
            return {**made, "id": "nobody@example.com"}
        return {**made, "properties": {"lifecyclestage": "none that there is"}}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return str(1_000 + number) if action == "list" else f"p{number}@example.com"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        return self.members if action == "list" else [found["email"] for found in self.objects.values()]

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.method != "GET" and not asked.path.endswith("/read")

    def forgets(self, action: str) -> bool:  # noqa: ARG002
        """See Api."""
        return True

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        if asked.path.endswith("add-and-remove"):
            said = asked.json()
            return len(said["recordIdsToAdd"]) + len(said["recordIdsToRemove"])
        return len(asked.json()["inputs"]) if asked.body else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._refused(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        match asked.method, asked.path.strip("/").split("/"):
            case "GET", ["account-info", "v3", "details"]:
                return Reply(200, {"portalId": 12345, "accountType": "STANDARD", "uiDomain": "app-eu1.hubspot.com"})
            case "POST", ["crm", "v3", "objects", "contacts", "batch", verb]:
                return self._batch(verb, asked.json()["inputs"])
            case "PUT", ["crm", "v3", "lists", "77", "memberships", "add-and-remove"]:
                return self._list(asked.json())
        return self._refused(404, "OBJECT_NOT_FOUND", "Unable to infer object type.")

    def _refused(self, status: int, category: str, message: str) -> Reply:
        return Reply(status, {"status": "error", "message": message, "category": category})

    def _batch(self, verb: str, inputs: list[dict[str, Any]]) -> Reply:
        if len(inputs) > 100:
            return self._refused(400, "VALIDATION_ERROR", f"Batch size {len(inputs)} is over the limit of 100")
        ids = [one["id"].lower() for one in inputs if "id" in one]
        if len(set(ids)) != len(ids) and verb != "read":
            return self._refused(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")
        if verb == "read":
            found = [self._found(one["id"]) for one in inputs]
            return Reply(200, {"status": "COMPLETE", "results": [one for one in found if one is not None]})
        if verb == "archive":
            for one in inputs:
                self.archived.extend([one["id"]] if self.objects.pop(one["id"], None) else [])
            return Reply(204, None)
        results, errors = [], []
        for one in inputs:
            wrong = self._wrong(verb, one)
            if wrong is None:
                results.append(self._write(one))
            else:
                context = {"objectWriteTraceId": [one["objectWriteTraceId"]]}
                errors.append({"status": "error", "category": wrong[0], "message": wrong[1], "context": context})
        body: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if errors:
            return Reply(207, {**body, "numErrors": len(errors), "errors": errors})
        return Reply(201 if verb == "create" else 200, body)

    def _id(self, email: str) -> str | None:
        return next((key for key, one in self.objects.items() if one["email"].lower() == email.lower()), None)

    def _found(self, email: str) -> dict[str, Any] | None:
        key = self._id(email)
        return None if key is None else {"id": key, "properties": self.objects[key]}

    def _wrong(self, verb: str, one: dict[str, Any]) -> tuple[str, str] | None:
        properties = one["properties"]
        if not isinstance(one["objectWriteTraceId"], str) or not one["objectWriteTraceId"]:
            return "VALIDATION_ERROR", "no trace id"
        if verb == "upsert" and "idProperty" not in one:
            return "VALIDATION_ERROR", "idProperty is required"
        if one.get("idProperty") == "hs_object_id":
            return "VALIDATION_ERROR", "hs_object_id is no unique property"
        if set(properties) - PROPERTIES or any(isinstance(value, list | dict) for value in properties.values()):
            return "VALIDATION_ERROR", f"Property values were not valid: {json.dumps(properties)}"
        if "lifecyclestage" in properties:
            return "VALIDATION_ERROR", f"{properties['lifecyclestage']!r} was not one of the allowed options"
        if verb == "create" and self._id(properties["email"]) is not None:
            return "CONFLICT", "Contact already exists. Existing ID: 1"
        if verb == "update" and self._key(one) not in self.objects:
            return "OBJECT_NOT_FOUND", f"{one['id']} not found"
        return None

    def _key(self, one: dict[str, Any]) -> str | None:
        return self._id(one["id"]) if "idProperty" in one else one["id"]

    def _write(self, one: dict[str, Any]) -> dict[str, Any]:
        key = self._key(one) if "id" in one else None
        new = key is None
        key = key or str(len(self.objects) + len(self.archived) + 5_000)
        kept = {name: value for name, value in one["properties"].items() if value != ""}
        email = {"email": one["id"]} if "idProperty" in one else {}
        self.objects[key] = {**self.objects.get(key, {}), **kept, **email}
        return {"id": key, "new": new, "properties": {}, "objectWriteTraceId": one["objectWriteTraceId"]}

    def _list(self, said: dict[str, list[str]]) -> Reply:
        missing = [one for one in said["recordIdsToAdd"] + said["recordIdsToRemove"] if one not in self.objects]
        added = [one for one in said["recordIdsToAdd"] if one in self.objects and one not in self.members]
        self.members = [one for one in [*self.members, *added] if one not in said["recordIdsToRemove"]]
        return Reply(200, {"recordsIdsAdded": added, "recordIdsRemoved": [], "recordIdsMissing": missing})
