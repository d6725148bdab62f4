"""Salesforce: signs an app in, and does jobs of the Bulk API 2.0 on contacts."""

from __future__ import annotations

import csv
import io
import re
import urllib.parse
from collections.abc import Sequence
from typing import Any

from tests.contract.api import Api, Asked, Reply

SECRET, TOKEN = "consumer-secret-good", "00D-session-token"
FIELDS = {"Id", "Ext__c", "LastName", "Email", "Vip__c"}


class SalesforceApi(Api):
    """See the module. `records`: by Salesforce's id; `jobs`: by theirs; `ended`: sessions that were closed.

    `unique`: whether the external id is; `slow`: looks at a job until it is done.
    """

    destination = "salesforce"

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.signed_in = 0
        self.ended = 0
        self.unique = True
        self.user = "005A"
        self.slow = 2
        self.locked: set[str] = set()
        self.stops = False

    def settings(self, *, good: bool = True) -> dict[str, Any]:
        """See Api."""
        return {
            "instance_url": self.url,
            "client_id": "consumer-key",
            "client_secret": SECRET if good else "consumer-secret-bad",
        }

    def fields(self, action: str, number: int) -> dict[str, Any]:  # noqa: ARG002
        """See Api."""
        return {
            "object": "Contact",
            "external_id_field": "Ext__c",
            "external_id": f"u{number}",
            "fields": {"LastName": f'von "P", {number}\nJr', "Email": f"p{number}@example.com", "Vip__c": True},
        }

    def unwelcome(self, action: str, number: int) -> dict[str, Any] | None:
        """See Api."""
        made = self.fields(action, number)
        return {**made, "fields": {**made["fields"], "Email": "no address"}}

    def mark(self, action: str, number: int) -> Any:  # noqa: ARG002
        """See Api."""
        return f"u{number}"

    def taken(self, action: str) -> Sequence[Any]:  # noqa: ARG002
        """See Api."""
        return [one["Ext__c"] for one in self.records.values()]

    def delivers(self, asked: Asked) -> bool:
        """See Api."""
        return asked.method != "GET" and "/jobs/ingest" in asked.path

    def forgets(self, action: str) -> bool:  # noqa: ARG002
        """See Api."""
        return True

    def rows_of(self, asked: Asked) -> int | None:
        """See Api."""
        return len(list(csv.reader(io.StringIO(asked.body.decode())))) - 1 if asked.method == "PUT" else None

    def handle(self, asked: Asked) -> Reply:
        """See Api."""
        if asked.path == "/services/oauth2/token":
            form = dict(urllib.parse.parse_qsl(asked.body.decode()))
            if form != {"grant_type": "client_credentials", "client_id": "consumer-key", "client_secret": SECRET}:
                return Reply(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
            self.signed_in += 1
            return Reply(200, {"access_token": f"{TOKEN}{self.signed_in}", "instance_url": self.url})
        valid = [f"Bearer {TOKEN}{number}" for number in range(self.ended + 1, self.signed_in + 1)]
        if asked.headers.get("authorization") not in valid:
            return Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
        match asked.method, asked.path.removeprefix("/services/data/v62.0").strip("/").split("/"):
            case "GET", ["limits"]:
                return Reply(200, {"DailyApiRequests": {"Max": 100_000, "Remaining": 99_000}})
            case "GET", ["query"]:
                return self._query(asked.query["q"])
            case "GET", ["sobjects", "Contact", "describe"]:
                return Reply(200, {"fields": [{"name": "Ext__c", "externalId": True, "unique": self.unique}]})
            case "GET", ["jobs", "ingest"]:
                return self._list(int(asked.query.get("queryLocator", "0")))
            case "POST", ["jobs", "ingest"]:
                return self._create(asked.json())
            case method, ["jobs", "ingest", name, *rest] if name in self.jobs:
                return self._of_job(method, self.jobs[name], rest, asked)
        return Reply(404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])

    def _create(self, said: dict[str, str]) -> Reply:
        if said["object"] != "Contact":
            return Reply(400, [{"errorCode": "INVALIDENTITY", "message": f"Unable to find object: {said['object']}"}])
        name = f"750{len(self.jobs) + 1}"
        self.jobs[name] = {**said, "id": name, "state": "Open", "looks": 0, "table": b""}
        self.jobs[name] |= {"createdDate": name, "createdById": self.user}
        return Reply(200, self._told(self.jobs[name]))

    def _list(self, first: int) -> Reply:
        found = [self._told(job) for job in self.jobs.values()]
        if first + 1 >= len(found):
            return Reply(200, {"done": True, "records": found[first:], "nextRecordsUrl": None})
        following = f"/services/data/v62.0/jobs/ingest?queryLocator={first + 1}"
        return Reply(200, {"done": False, "records": found[first : first + 1], "nextRecordsUrl": following})

    def _told(self, job: dict[str, Any]) -> dict[str, Any]:
        return {key: job[key] for key in job if key not in {"table", "looks", "results"}}

    def _of_job(self, method: str, job: dict[str, Any], rest: list[str], asked: Asked) -> Reply:
        if method == "PUT" and rest == ["batches"]:
            if job["state"] != "Open" or job["table"]:
                return Reply(400, [{"errorCode": "INVALIDJOBSTATE", "message": "Data was uploaded already"}])
            job["table"] = asked.body
            return Reply(201, None)
        if method == "PATCH":
            wanted = asked.json()["state"]
            if job["state"] != "Open":
                return Reply(400, [{"errorCode": "INVALIDJOBSTATE", "message": f"Job is {job['state']}"}])
            job["state"] = wanted
            return Reply(200, self._told(job))
        if rest:
            return Reply(200, self._table(job["results"][rest[0]]), {"Content-Type": "text/csv"})
        job["looks"] += 1
        if job["state"] in {"UploadComplete", "InProgress"}:
            job["state"] = "InProgress"
            if job["looks"] >= self.slow:
                self._do(job)
        return Reply(200, self._told(job))

    def _do(self, job: dict[str, Any]) -> None:
        rows = list(csv.DictReader(io.StringIO(job["table"].decode())))
        names = set(rows[0]) if rows else set()
        results: dict[str, list[dict[str, str]]] = {"successfulResults": [], "failedResults": []}
        results["unprocessedrecords"] = []
        job["results"], job["state"] = results, "JobComplete"
        if names - FIELDS:
            job["state"] = "Failed"
            job["errorMessage"] = f"InvalidBatch : Field name not found : {sorted(names - FIELDS)[0]}"
        for number, row in enumerate(reversed(rows)):  # results are in no order
            if job["state"] == "Failed" or (self.stops and number >= len(rows) // 2):
                job["state"] = "Failed"
                results["unprocessedrecords"].append(row)
                continue
            wrong = self._wrong(job["operation"], row)
            if wrong:
                results["failedResults"].append({"sf__Id": "", "sf__Error": wrong, **row})
            else:
                key, new = self._write(job["operation"], row)
                results["successfulResults"].append({"sf__Id": key, "sf__Created": str(new).lower(), **row})

    def _by_ext(self, value: str) -> str | None:
        return next((key for key, one in self.records.items() if one["Ext__c"].lower() == value.lower()), None)

    def _wrong(self, operation: str, row: dict[str, str]) -> str | None:
        if row.get("Ext__c") in self.locked:
            return "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--"
        if "@" not in row.get("Email", "@") and row["Email"] != "#N/A":
            return f"INVALID_EMAIL_ADDRESS:Email: invalid email address: {row['Email']}:Email --"
        if operation == "insert" and self.unique and self._by_ext(row["Ext__c"]):
            return f"DUPLICATE_VALUE:duplicate value found: Ext__c duplicates value on record with id: {'003'}:--"
        if operation in {"update", "delete"} and row["Id"] not in self.records:
            return "ENTITY_IS_DELETED:entity is deleted:--"
        return None

    def _write(self, operation: str, row: dict[str, str]) -> tuple[str, bool]:
        if operation == "delete":
            self.records.pop(row["Id"])
            return row["Id"], False
        key = self._by_ext(row["Ext__c"]) if operation == "upsert" else row.get("Id")
        new = key is None
        key = key or f"003{len(self.records) + 1:012d}"
        kept = {name: "" if value == "#N/A" else value for name, value in row.items() if value and name != "Id"}
        self.records[key] = {**self.records.get(key, {}), **kept}
        return key, new

    def _table(self, rows: list[dict[str, str]]) -> bytes:
        out = io.StringIO()
        if rows:
            writer = csv.DictWriter(out, list(rows[0]), quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return out.getvalue().encode()

    def _query(self, statement: str) -> Reply:
        found = re.fullmatch(r"SELECT Id,Ext__c FROM Contact WHERE Ext__c IN \((.*)\)", statement, re.S)
        assert found, statement
        wanted = {one.replace("\\'", "'").lower() for one in re.findall(r"'((?:[^'\\]|\\.)*)'", found[1])}
        rows = [(key, one["Ext__c"]) for key, one in self.records.items() if one["Ext__c"].lower() in wanted]
        return Reply(200, {"done": True, "records": [{"Id": key, "Ext__c": value} for key, value in rows]})
