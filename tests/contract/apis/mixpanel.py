"""A server that behaves as the ingestion API of Mixpanel: research on reverse ETL, section 3.3; its openapi."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

TOKEN = "mixpanel-token-0123456789"
SERVICE, SECRET, PROJECT = "tidemill.a1", "mixpanel-secret-0123456789", "4711"
_NOBODY = {"null", "anonymous", "undefined", "00000000-0000-0000-0000-000000000000"}
_EARLIEST = 31_536_000_000
_BYTES, _RECORDS = 10_000_000, {"/import": 2_000, "/engage": 2_000, "/groups": 2_000}


class MixpanelApi(Api):
    """It keeps events by what it knows them by, and profiles by their ids, of its own token alone."""

    destination = "mixpanel"

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.profiles: dict[str, dict[str, dict[str, Any]]] = {"/engage": {}, "/groups": {}}

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"token": TOKEN if good else "another-token-9876543210", "region": "eu", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        if action == "events":
            made = {"event": "rented", "time": 1793534400.5, "properties": {"n": number}}
            return {"distinct_id": f"u{number}", **made}
        if action == "groups":
            return {"group_key": "company", "group_id": f"c{number}", "$name": f"Company {number}"}
        return {"distinct_id": f"u{number}", "$email": f"u{number}@example.com", "plan": "pro"}

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        made = self.fields(action, number)
        return {**made, "distinct_id": "anonymous"} if action == "events" else {**made, "x" * 256: 1}

    def mark(self, action: str, number: int) -> Any:
        """See Api."""
        return {"events": number, "profiles": f"u{number}", "groups": f"company/c{number}"}[action]

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        if action == "events":
            return [event["properties"]["n"] for event in self.events.values()]
        return list(self.profiles["/engage" if action == "profiles" else "/groups"])

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action != "events"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(asked.json())

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.body != b"[]"

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path == "/import" and not self._signed(asked):
            return Reply(401, {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"})
        if asked.path not in _RECORDS or asked.query.get("strict") != "1":
            return Reply(404, {"error": "not found", "status": "error"})
        rows = asked.json()
        if len(asked.body) > _BYTES or len(rows) > _RECORDS[asked.path]:
            said = f"request exceeds max limit of {_BYTES} bytes"
            return Reply(413, {"code": 413, "error": said, "status": "Request Entity Too Large"})
        if not rows:
            return Reply(400, {"code": 400, "error": "the body has no records", "status": "Bad Request"})
        failed = []
        for index, row in enumerate(rows):
            wrong = _wrong(asked.path, row)
            if wrong:
                identity = row.get("properties", {}).get("$insert_id", "")
                failed.append({"index": index, "insert_id": identity, "field": wrong[0], "message": wrong[1]})
            else:
                self._keep(asked.path, row)
        taken = {"num_records_imported": len(rows) - len(failed)}
        if failed:
            return Reply(400, {**taken, "code": 400, "status": "Bad Request", "failed_records": failed})
        return Reply(200, {**taken, "code": 200, "status": "OK"})

    @staticmethod
    def _signed(asked: Asked) -> bool:
        project = asked.query.get("project_id")
        who = f"{SERVICE}:{SECRET}" if project == PROJECT else f"{TOKEN}:"
        return asked.headers.get("authorization") == f"Basic {base64.b64encode(who.encode()).decode()}"

    def _keep(self, path: str, row: dict[str, Any]) -> None:
        if path == "/import":
            known = row["properties"]
            self.events[row["event"], known["time"], known["distinct_id"], known["$insert_id"]] = row
            return
        if row["$token"] != TOKEN:
            return
        who = row["$distinct_id"] if path == "/engage" else f"{row['$group_key']}/{row['$group_id']}"
        if "$delete" in row:
            self.profiles[path].pop(who, None)
        else:
            self.profiles[path].setdefault(who, {}).update(row["$set"])


def _wrong(path: str, row: dict[str, Any]) -> tuple[str, str] | None:
    if path == "/import":
        known = row["properties"]
        if known["distinct_id"] in _NOBODY:
            return "properties.distinct_id", "'properties.distinct_id' is invalid: it stands for nobody"
        if len(known["$insert_id"]) > 36:
            return "properties.$insert_id", "'properties.$insert_id' is invalid: at most 36 bytes"
        if not isinstance(known["time"], int) or known["time"] < _EARLIEST:
            return "properties.time", "'properties.time' is invalid: must be after 1971"
        return None
    names = row.get("$set", {})
    return ("$set", "a property's name is too long") if any(len(name) > 255 for name in names) else None
