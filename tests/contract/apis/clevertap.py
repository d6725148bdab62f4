"""A server that behaves as CleverTap: 200 whatever is wrong with records, and they are named in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

ACCOUNT, PASSCODE = "TEST-123", "good-passcode"
GENDERS = frozenset({"M", "F"})


class ClevertapApi(Api):
    """See the module."""

    destination = "clevertap"

    def __init__(self) -> None:
        super().__init__()
        self.profiles: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"account_id": ACCOUNT, "passcode": PASSCODE if good else "bad-passcode", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        own = {"event": "Charged", "Amount": 5.5} if action == "event" else {"Name": "Ana", "Gender": "F"}
        return {"identity": f"user-{number}", "ts": 1_700_000_000, **own}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        wrong = {"event": "Notification Sent"} if action == "event" else {"Gender": "none of theirs"}
        return {**self.fields(action, number), **wrong}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"user-{number}"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        return [event["identity"] for event in self.events] if action == "event" else list(self.profiles)

    def keeps_ids(self, action: str) -> bool:
        """See Api: events have no id."""
        return action != "event"

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "profile"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json()["d"]) if asked.path == "/1/upload" else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        signed = asked.headers.get("x-clevertap-account-id"), asked.headers.get("x-clevertap-passcode")
        if signed != (ACCOUNT, PASSCODE):
            return Reply(401, {"status": "fail", "error": "Invalid Credentials", "code": 401})
        if asked.method == "GET":
            return Reply(200, {"status": "fail", "error": "Profile not found"})
        said = asked.json()
        if asked.path == "/1/delete/profiles.json":
            ids = said.get("identity") or []
            if not 0 < len(ids) <= 100:
                return Reply(400, {"status": "fail", "code": 400})
            self.profiles = {key: profile for key, profile in self.profiles.items() if key not in ids}
            return Reply(200, {"status": "success"})
        if len(said["d"]) > 1_000:
            return Reply(200, {"status": "fail", "processed": 0, "unprocessed": []})
        return self._upload(said["d"])

    def _upload(self, records: list[dict[str, Any]]) -> Reply:
        unprocessed = []
        for number, record in enumerate(records, 1):
            code, error = wrong_with(record)
            if code:
                told = f"{error} Skipped record number : {number}"
                unprocessed.append({"status": "fail", "code": code, "error": told, "record": record})
            elif record["type"] == "event":
                self.events.append(record)
            else:
                self.profiles.setdefault(record["identity"], {}).update(record["profileData"])
        processed = len(records) - len(unprocessed)
        status = "success" if not unprocessed else "partial" if processed else "fail"
        return Reply(200, {"status": status, "processed": processed, "unprocessed": unprocessed})


def wrong_with(record: dict[str, Any]) -> tuple[int, str]:
    """The code and the words of an error; 0: nothing is wrong with it."""
    if not record.get("identity"):
        return 523, "ErrorCode: 523 - Missing identity."
    if not isinstance(record.get("ts", 0), int):
        return 525, "ErrorCode: 525 - Timestamp not in UNIX epoch format."
    if record["type"] == "profile":
        good = record["profileData"].get("Gender", "F") in GENDERS
        return (0, "") if good else (514, "ErrorCode: 514 - Gender invalid.")
    if not record.get("evtName"):
        return 509, "ErrorCode: 509 - Event name mandatory."
    if record["evtName"] == "Notification Sent":
        return 513, "ErrorCode: 513 - Trying to raise a restricted system event."
    return 0, ""
