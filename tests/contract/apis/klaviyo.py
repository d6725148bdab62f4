"""Klaviyo's API: import jobs that are looked at until they are done, bulk events, deletions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

KEY = "pk_good_private_key"
IDS = ("email", "phone_number", "external_id")


class KlaviyoApi(Api):
    """See the module. `slow`: looks at a job until it is done; `silent`: its errors point to nothing."""

    destination = "klaviyo"

    def __init__(self) -> None:
        super().__init__()
        self.profiles: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, set[str]] = {}
        self.events: dict[tuple[str, ...], dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.jobs: list[dict[str, Any]] = []
        self.slow = 2
        self.silent = False

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {"key": KEY if good else "pk_bad_private_key", "endpoint": self.url}

    def fields(self, action: str, number: int) -> dict[str, Any]:
        """See Api."""
        who = {"email": f"p{number}@example.com"}
        if action == "list":
            self.profiles.setdefault(who["email"], who)
            return {"email": f"P{number}@example.com", "list_id": "Y6nRLr"}
        if action == "events":
            return {**who, "metric": "Ordered", "time": 1_760_000_000 + number, "event_properties": {"n": number}}
        return {**who, "properties": {"n": number}} if action == "profiles" else who

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        if action == "delete_profiles":
            return {"email": "no address"}
        if action == "list":
            return {"email": "nobody@example.com", "list_id": "Y6nRLr"}
        return {**self.fields(action, number), "phone_number": "0170 1234"}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"p{number}@example.com"

    def taken(self, action: str) -> Sequence[Any]:
        """See Api."""
        if action == "list":
            return list(self.lists.get("Y6nRLr", ()))
        if action == "events":
            return [key[0] for key in self.events]
        return self.deleted if action == "delete_profiles" else list(self.profiles)

    def forgets(self, action: str) -> bool:
        """See Api."""
        return action == "list"

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        if asked.method == "GET":
            return None
        data = asked.json()["data"]
        if isinstance(data, list):
            return len(data)
        attributes = data["attributes"]
        found = attributes.get("profiles") or attributes.get("events-bulk-create")
        return len(found["data"]) if found else 1

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.headers.get("authorization") != f"Klaviyo-API-Key {KEY}":
            return _refused(401, "not_authenticated", "Missing or invalid private key.", "/data/")
        if not asked.headers.get("revision"):
            return _refused(400, "invalid", "revision is missing", "/data/")
        return self._served(asked)

    def _served(self, asked: Asked) -> Reply:
        match asked.method, asked.path.strip("/").split("/")[1:]:
            case "GET", ["accounts"]:
                found = {"contact_information": {"organization_name": "Acme"}}
                return Reply(200, {"data": [{"type": "account", "id": "AbC", "attributes": found}]})
            case "POST", ["profile-bulk-import-jobs"]:
                return self._import(asked.json()["data"])
            case "GET", ["profile-bulk-import-jobs", number]:
                return self._looked(int(number))
            case "GET", ["profile-bulk-import-jobs", number, "import-errors"]:
                return self._errors(int(number), int(asked.query.get("page[cursor]", "0")))
            case "POST", ["event-bulk-create-jobs"]:
                return self._take(asked.json()["data"]["attributes"]["events-bulk-create"]["data"])
            case "POST", ["data-privacy-deletion-jobs"]:
                return self._delete(asked.json()["data"]["attributes"]["profile"]["data"])
            case "GET", ["profiles"]:
                return self._found(asked.query["filter"])
            case "POST" | "DELETE" as method, ["lists", "Y6nRLr", "relationships", "profiles"]:
                keys = {one["id"].removeprefix("01") for one in asked.json()["data"]}
                known = self.lists.setdefault("Y6nRLr", set())
                (known.update if method == "POST" else known.difference_update)(keys)
                return Reply(204, None)
        return _refused(404, "not_found", "A path could not be found.", "/data/")

    def _found(self, asked: str) -> Reply:
        found = re.fullmatch(r"any\((\w+),(\[.*\])\)", asked)
        assert found, asked
        wanted = {str(value).lower() for value in json.loads(found[2])}
        assert len(wanted) <= 100
        data = [
            {"type": "profile", "id": f"01{key}", "attributes": one}
            for key, one in self.profiles.items()
            if (f"01{key}" if found[1] == "id" else str(one.get(found[1]))).lower() in wanted
        ]
        return Reply(200, {"data": data, "links": {}})

    def _import(self, data: dict[str, Any]) -> Reply:
        profiles = data["attributes"]["profiles"]["data"]
        if len(profiles) > 10_000:
            return _refused(400, "invalid", "At most 10000 profiles", "/data/attributes/profiles/data")
        lists = [one["id"] for one in data.get("relationships", {}).get("lists", {}).get("data", ())]
        self.jobs.append({"profiles": profiles, "lists": lists, "looks": 0, "errors": [], "status": "queued"})
        return Reply(202, {"data": {"type": "profile-bulk-import-job", "id": str(len(self.jobs) - 1)}})

    def _looked(self, number: int) -> Reply:
        job = self.jobs[number]
        job["looks"] += 1
        if job["looks"] >= self.slow and job["status"] != "complete":
            job["status"] = "complete"
            for index, profile in enumerate(job["profiles"]):
                self._keep(index, profile, job)
        attributes = {"status": job["status"], "failed_count": len(job["errors"])}
        return Reply(200, {"data": {"type": "profile-bulk-import-job", "id": str(number), "attributes": attributes}})

    def _keep(self, index: int, profile: dict[str, Any], job: dict[str, Any]) -> None:
        attributes = profile["attributes"]
        phone = attributes.get("phone_number")
        if phone is not None and not phone.startswith("+"):
            pointer = "/data" if self.silent else f"/data/attributes/profiles/data/{index}/attributes/phone_number"
            found = {"code": "invalid", "title": "Invalid input.", "detail": "Invalid phone number format"}
            job["errors"].append({**found, "source": {"pointer": pointer}, "original_payload": None})
            return
        key = next(str(attributes[name]) for name in IDS if name in attributes)
        self.profiles[key] = {**self.profiles.get(key, {}), **attributes}
        for name in job["lists"]:
            self.lists.setdefault(name, set()).add(key)

    def _errors(self, number: int, first: int) -> Reply:
        found = self.jobs[number]["errors"]
        links: dict[str, str] = {"self": "https://a.klaviyo.com/"}
        if first + 2 < len(found):
            path = f"/api/profile-bulk-import-jobs/{number}/import-errors"
            links["next"] = f"https://a.klaviyo.com{path}?page%5Bcursor%5D={first + 2}"
        data = [{"type": "import-error", "id": "x", "attributes": one} for one in found[first : first + 2]]
        return Reply(200, {"data": data, "links": links})

    def _take(self, events: list[dict[str, Any]]) -> Reply:
        if len(events) > 1_000:
            return _refused(400, "invalid", "At most 1000 events", "/data/attributes/events-bulk-create/data")
        for index, event in enumerate(events):
            profile = event["attributes"]["profile"]["data"]["attributes"]
            if not profile.get("phone_number", "+").startswith("+"):
                pointer = f"/data/attributes/events-bulk-create/data/{index}/attributes/profile/data/attributes"
                return _refused(400, "invalid", "Invalid phone number format", f"{pointer}/phone_number")
        for event in events:
            profile = event["attributes"]["profile"]["data"]["attributes"]
            (one,) = event["attributes"]["events"]["data"]
            attributes = one["attributes"]
            key = (profile["email"], attributes["metric"]["data"]["attributes"]["name"], attributes["unique_id"])
            self.events.setdefault(key, attributes)
        return Reply(202, None)

    def _delete(self, profile: dict[str, Any]) -> Reply:
        attributes = profile["attributes"]
        if len(attributes) + ("id" in profile) != 1:
            return _refused(400, "invalid", "Exactly one identifier", "/data/attributes/profile")
        email = attributes.get("email", "")
        if "@" not in email:
            return _refused(400, "invalid", "Invalid email address", "/data/attributes/profile/data/attributes/email")
        if email not in self.deleted:
            self.deleted.append(email)
        return Reply(202, None)


def _refused(status: int, code: str, detail: str, pointer: str) -> Reply:
    error = {"id": "1", "status": status, "code": code, "title": "Invalid input.", "detail": detail}
    return Reply(status, {"errors": [{**error, "source": {"pointer": pointer}}]})
