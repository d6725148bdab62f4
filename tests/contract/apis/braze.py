"""A server that behaves as the API of Braze: research on reverse ETL, section 3.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY = "braze-key-0123456789"
_ARRAYS = {"users": "attributes", "events": "events", "purchases": "purchases"}
_IDS = ("external_id", "user_alias", "braze_id", "email", "phone")


class BrazeApi(Api):
    """It keeps users by their id; events and purchases as they come, the same one twice if it comes twice."""

    destination = "braze"

    def __init__(self, *, most: int = 75) -> None:
        super().__init__()
        self.users: dict[str, dict[str, Any]] = {}
        self.happenings: dict[str, list[dict[str, Any]]] = {"events": [], "purchases": []}
        self._most = most

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"instance": "fra-01", "api_key": KEY if good else "another-key-9876543210", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        who = {"external_id": f"u{number}"}
        if action == "users":
            return {**who, "plan": "pro", "n": number}
        what: dict[str, Any] = {"name": "rented", "time": "2026-11-01T12:00:00Z", "properties": {"n": number}}
        if action == "purchases":
            del what["name"]
            what |= {"product_id": "film", "currency": "USD", "price": 12.5}
        return {**who, **what}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        made = self.fields(action, number)
        return {**made, "external_id": "x" * 1_000} if action != "purchases" else {**made, "currency": "gold"}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return f"u{number}" if action == "users" else number

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        if action == "users":
            return list(self.users)
        return [found["properties"]["n"] for found in self.happenings[action]]

    def keeps_ids(self, action: str) -> bool:
        """See Api."""
        return action == "users"

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "users"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return sum(len(rows) for rows in asked.json().values())

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return Reply(401, {"message": "Invalid API key"})
        if asked.path == "/users/delete":
            return self._delete(asked.json())
        if asked.path != "/users/track":
            return Reply(404, {"message": "Not found"})
        said = asked.json()
        if not any(said.get(array) for array in _ARRAYS.values()):
            return Reply(
                400, {"message": "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."}
            )
        if sum(len(said.get(array, ())) for array in _ARRAYS.values()) > self._most:
            return Reply(400, {"message": f"A request may have {self._most} objects."})
        return self._track(said)

    def _track(self, said: dict[str, Any]) -> Reply:
        errors = []
        number = 0
        for array, rows in said.items():
            for index, row in enumerate(rows):
                number += 1
                wrong = _wrong(array, row)
                if wrong:
                    errors.append({"type": wrong, "input_array": array, "index": index})
                elif array == "attributes":
                    self.users.setdefault(_id(row), {}).update(row)
                else:
                    self.happenings[array].append(row)
        if len(errors) == number:
            message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
            return Reply(400, {"message": message, "errors": errors})
        return Reply(201, {"message": "success", **({"errors": errors} if errors else {})})

    def _delete(self, said: dict[str, Any]) -> Reply:
        (name,) = said
        if len(said[name]) > 50:
            return Reply(400, {"message": f"The max number of {name} per request is 50."})
        for one in said[name]:
            self.users.pop(str(one["email"] if name == "email_addresses" else one), None)
        return Reply(200, {"deleted": len(said[name]), "message": "success"})


def _id(row: dict[str, Any]) -> str:
    return str(next(row[name] for name in _IDS if row.get(name)))


def _wrong(array: str, row: dict[str, Any]) -> str:
    if len(str(row.get("external_id", ""))) > 997:
        return "'external_id' is longer than 997 bytes"
    if array == "purchases" and len(row["currency"]) != 3:
        return "'currency' is not valid"
    return ""
