"""The gate: an ASGI application in front of the emulator that behaves as Google's API does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import time
import urllib.parse
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tidemill.bigquery.local import jobs, loads, permissions, rows, uploads
from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.answers import Refusal, denied, job_error, not_found
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.faults import Fault, Faults
from tidemill.bigquery.local.permissions import Place
from tidemill.bigquery.local.requests import RequestLog
from tidemill.bigquery.local.tokens import Tokens

_JOBS_VIEW = re.compile(
    r"(?:`?[\w\-]+`?\.)?(?:`region-[\w\-]+`\.)?(?:`[\w\-.]*INFORMATION_SCHEMA\.JOBS(?:_BY_\w+)?`|"
    r"INFORMATION_SCHEMA\.JOBS(?:_BY_\w+)?)",
    re.IGNORECASE,
)
_MAX_BODY = 64 * 1024 * 1024


class Gate:
    """The ASGI application."""

    def __init__(self, directory: Path, emulator: Emulator, url: str, projects: set[str], secret: str) -> None:
        """`secret`: whoever has it may set fault plans."""
        self.emulator, self.url, self.projects, self._secret = emulator, url, projects, secret
        self.accounts = Accounts(directory)
        self.tokens = Tokens(self.accounts)
        self.faults = Faults()
        self.jobs = jobs.Jobs(emulator.connection)
        self.uploads = uploads.Uploads(directory / "uploads")
        self.log = RequestLog(directory / "requests.jsonl")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        await (response or _Cut())(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """The answer; None to end the connection without one."""
        path, method = request.url.path, request.method
        fault = None if path.startswith("/_tidemill") else self.faults.next(method, path)
        if fault and fault.fault == "expire_tokens":
            self.tokens.expire()
            fault = None
        try:
            if fault and fault.fault != "job_error" and not fault.after_commit:
                return _fault_answer(fault)
            response = await self._route(request, fault if fault and fault.fault == "job_error" else None)
        except Refusal as refusal:
            response = refusal.response()
        except httpx.HTTPError as error:
            response = Refusal(503, "backendError", f"The emulator does not answer: {error!r}").response()
        self.log.write(request, response.status_code)
        return _fault_answer(fault) if fault and fault.after_commit else response

    async def _route(self, request: Request, fault: Fault | None) -> Response:
        path, method = request.url.path, request.method
        if path.startswith("/_tidemill/"):
            return await self._own(request)
        if path == "/token":
            form = urllib.parse.parse_qs((await request.body()).decode("utf-8", "replace"))
            return self.tokens.grant({name: values[0] for name, values in form.items()}, f"{self.url}/token")
        account = self.tokens.holder(request.headers.get("authorization"))
        granted = self.accounts.permissions(account)
        if found := re.fullmatch(r"/v1/projects/-/serviceAccounts/([^:]+):generateAccessToken", path):
            return self._impersonate(granted, found[1])
        if found := re.fullmatch(r"/upload/bigquery/v2/projects/([^/]+)/jobs", path):
            self._known(found[1])
            return await self._upload(request, found[1], account, granted, fault)
        at = permissions.place(path)
        if at is None:
            raise not_found(path)
        self._known(at.project)
        if found := re.fullmatch(r"/(jobs|queries)(?:/([^/]+))?(/cancel)?", at.rest):
            return await self._job_request(request, at.project, found[1], found[2], account, granted)
        return await self._table_request(request, method, path, at, granted)

    def _known(self, project: str) -> None:
        if project not in self.projects:
            raise not_found(f"Project {project}")

    async def _own(self, request: Request) -> Response:
        """Health for everybody; fault plans for who has the secret."""
        if request.url.path.endswith("/health"):
            state = {"ready": True, "url": self.url, "grpc_port": self.emulator.grpc_port, "pid": os.getpid()}
            return JSONResponse(state)
        if not secrets.compare_digest(request.headers.get("x-tidemill-secret", ""), self._secret):
            raise Refusal(403, "forbidden", "The secret is in the state file of the embedded BigQuery.")
        if request.method == "PUT":
            self.faults.set(await request.json())
        return JSONResponse([vars(fault) for fault in self.faults.plan])

    def _impersonate(self, granted: frozenset[str], account: str) -> Response:
        if "iam.serviceAccounts.getAccessToken" not in granted or account not in self.accounts.all():
            said = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise Refusal(403, "accessDenied", said)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        return JSONResponse({"accessToken": self.tokens.issue(account), "expireTime": until})

    # Jobs.

    async def _job_request(
        self, request: Request, project: str, kind: str, job_id: str | None, account: str, granted: frozenset[str]
    ) -> Response:
        location = request.query_params.get("location")
        if request.method == "POST" and not job_id:
            return await self._begin(request, project, kind, account, granted)
        if job_id is None:
            return JSONResponse({"kind": "bigquery#jobList", "jobs": self._listed(project)})
        job = self.jobs.get(project, job_id, location)
        if kind == "queries":
            if error := job["status"].get("errorResult"):
                raise Refusal(400, error["reason"], error["message"])
            return await self.emulator.forward(request, location=job["jobReference"]["location"])
        return JSONResponse({"kind": "bigquery#jobCancelResponse", "job": job} if request.method == "POST" else job)

    def _listed(self, project: str) -> list[dict[str, Any]]:
        return [{**job, "state": job["status"]["state"]} for job in self.jobs.list(project, 1000)]

    async def _begin(
        self, request: Request, project: str, kind: str, account: str, granted: frozenset[str]
    ) -> Response:
        if "bigquery.jobs.create" not in granted:
            raise denied("bigquery.jobs.create", project)
        body = await _json(request)
        if kind == "queries":
            reference = {
                "jobId": body.get("requestId") or f"job_{secrets.token_hex(12)}",
                "location": body.get("location"),
            }
            configuration = {"query": {"query": body.get("query", "")}, "labels": body.get("labels", {})}
            default = (body.get("defaultDataset") or {}).get("datasetId")
            dry = bool(body.get("dryRun"))
        else:
            reference, configuration = body.get("jobReference") or {}, body.get("configuration") or {}
            default = (configuration.get("query", {}).get("defaultDataset") or {}).get("datasetId")
            dry = bool(configuration.get("dryRun"))
        if "query" not in configuration:
            raise Refusal(501, "notImplemented", "Only queries and uploads can be run in the embedded BigQuery.")
        sql = configuration["query"].get("query", "")
        needs = permissions.query_needs(sql, project, default)
        location = self._location(reference.get("location"), [(at.project, str(at.dataset)) for _, at in needs])
        permissions.check_query(granted, needs)
        changed = self._with_jobs_view(sql, project)
        if kind == "queries":
            body["query"] = changed
        else:
            body["configuration"]["query"]["query"] = changed
        if dry:
            return await self.emulator.send(request.method, request.url.path, body, location=location)
        job_id = str(reference.get("jobId") or f"job_{secrets.token_hex(12)}")
        job = jobs.resource(project, job_id, location, configuration, account, time.time())
        with self.jobs.running(job):
            return await self._run_query(request, body, job)

    async def _run_query(self, request: Request, body: dict[str, Any], job: dict[str, Any]) -> Response:
        began = time.time()
        reference, configuration = job["jobReference"], job["configuration"]
        if "configuration" in body:
            body["jobReference"] = {"projectId": reference["projectId"], "jobId": reference["jobId"]}
        response = await self.emulator.send("POST", request.url.path, body, location=reference["location"])
        if response.status_code != 200:
            return response
        answer = json.loads(bytes(response.body))
        given = answer.get("configuration", configuration)
        given["labels"] = configuration.get("labels", {})
        done = jobs.resource(
            reference["projectId"],
            answer["jobReference"]["jobId"],
            reference["location"],
            given,
            job["user_email"],
            began,
            statistics=answer.get("statistics") or {"query": {}},
            error=(answer.get("status") or {}).get("errorResult"),
        )
        self.jobs.save_alone(done)
        if "configuration" in body:
            return JSONResponse(done)
        answer["jobReference"]["location"] = reference["location"]
        return JSONResponse(answer)

    def _with_jobs_view(self, sql: str, project: str) -> str:
        if "INFORMATION_SCHEMA.JOBS" not in sql.upper():
            return sql
        return _JOBS_VIEW.sub(lambda _: jobs.information_schema(self.jobs.list(project, 200)), sql)

    def _location(self, wanted: str | None, datasets: list[tuple[str, str]]) -> str:
        """Where a job runs. Raises Refusal (404) if a dataset is elsewhere, or is not."""
        location = wanted
        for project, dataset in datasets:
            there = self.emulator.location(project, dataset)
            if there is None:
                raise not_found(f"Dataset {project}:{dataset}")
            if location and location.lower() != there.lower():
                raise not_found(f"Dataset {project}:{dataset} was not found in location {location}")
            location = there
        return location or "US"

    # Uploads.

    async def _upload(
        self, request: Request, project: str, account: str, granted: frozenset[str], fault: Fault | None
    ) -> Response:
        if request.method == "PUT":
            return await self._piece(request, granted, fault)
        if "bigquery.jobs.create" not in granted:
            raise denied("bigquery.jobs.create", project)
        kind = request.query_params.get("uploadType")
        if kind == "resumable":
            session = self.uploads.open(project, account, await _json(request))
            where = f"{self.url}{request.url.path}?uploadType=resumable&upload_id={session.id}"
            return Response(status_code=200, headers={"Location": where, "X-GUploader-UploadID": session.id})
        if kind != "multipart":
            raise Refusal(400, "invalid", f"Unknown uploadType: {kind}")
        description, media = uploads.split_multipart(request.headers.get("content-type", ""), await request.body())
        file = self.uploads.new_file()
        await asyncio.to_thread(file.write_bytes, media)
        return JSONResponse(await self._load(project, account, granted, description, file, fault))

    async def _piece(self, request: Request, granted: frozenset[str], fault: Fault | None) -> Response:
        session = self.uploads.get(request.query_params.get("upload_id", ""))
        async with session.turn:
            if session.job is not None:
                return JSONResponse(session.job)
            whole = await uploads.receive(session, request.headers.get("content-range", ""), request.stream())
            if not whole:
                headers = {"Range": f"bytes=0-{session.received - 1}"} if session.received else {}
                return Response(status_code=308, headers=headers)
            session.job = await self._load(
                session.project, session.account, granted, session.description, session.file, fault
            )
            return JSONResponse(session.job)

    async def _load(
        self,
        project: str,
        account: str,
        granted: frozenset[str],
        description: dict[str, Any],
        file: Path,
        fault: Fault | None,
    ) -> dict[str, Any]:
        """Run a load job over a file that is here, and remove the file."""
        began = time.time()
        try:
            configuration = description.get("configuration") or {}
            load = configuration.get("load") or {}
            target = load.get("destinationTable") or {}
            at = Place(target.get("projectId", project), target.get("datasetId"), target.get("tableId"), "")
            reference = description.get("jobReference") or {}
            location = self._location(reference.get("location"), [(at.project, str(at.dataset))])
            job_id = str(reference.get("jobId") or f"job_{secrets.token_hex(12)}")
            fields = self.emulator.fields(at)
            if fields is None and load.get("createDisposition") != "CREATE_NEVER":
                permissions.check(granted, "bigquery.tables.create", Place(at.project, at.dataset, None, ""))
            permissions.check(granted, "bigquery.tables.updateData", at)
            job = jobs.resource(project, job_id, location, configuration, account, began)
            with self.jobs.running(job):
                return await self._run_load(job, load, at, fields, file, fault)
        finally:
            await asyncio.to_thread(file.unlink, missing_ok=True)

    async def _run_load(
        self,
        job: dict[str, Any],
        load: dict[str, Any],
        at: Place,
        fields: list[dict[str, Any]] | None,
        file: Path,
        fault: Fault | None,
    ) -> dict[str, Any]:
        if fault is not None:
            return self._failed(job, fault.reason, fault.message)
        async with self.emulator.writing():
            if fields is None and load.get("createDisposition") != "CREATE_NEVER":
                fields = await self.emulator.create_for_load(at, load)
            if fields is None:
                return self._failed(job, "notFound", f"Not found: Table {at.project}:{at.dataset}.{at.table}")
            name = self.emulator.quoted(at)
            return await asyncio.to_thread(loads.run, self.emulator.connection, self.jobs, job, name, fields, file)

    def _failed(self, job: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
        error = job_error(reason, message)
        job["status"] = {"state": "DONE", "errorResult": error, "errors": [error]}
        self.jobs.save_alone(job)
        return job

    # Datasets, tables, rows.

    async def _table_request(
        self, request: Request, method: str, path: str, at: Place, granted: frozenset[str]
    ) -> Response:
        if at.rest == ":testIamPermissions":
            asked = (await _json(request)).get("permissions", [])
            there = self.emulator.fields(at) is not None
            return JSONResponse({"permissions": [name for name in asked if name in granted]} if there else {})
        permission = permissions.needed(method, path, at)
        if permission:
            at_create = Place(at.project, at.dataset, None, "") if permission.endswith(".create") else at
            permissions.check(granted, permission, at_create)
        if at.dataset and at.dataset != "" and self.emulator.location(at.project, at.dataset) is None:
            raise not_found(f"Dataset {at.project}:{at.dataset}")
        if at.table and self.emulator.fields(at) is None:
            raise not_found(f"Table {at.project}:{at.dataset}.{at.table}")
        if path.endswith("/datasets") and method == "GET" and "bigquery.datasets.get" not in granted:
            return JSONResponse({"kind": "bigquery#datasetList"})
        if at.rest == "/insertAll":
            refused = rows.check(await _json(request), self.emulator.fields(at) or [])
            if refused:
                return JSONResponse({"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": refused})
        return await self.emulator.table_request(request, at)


class _Cut(Response):
    """The connection ends in the middle of an answer."""

    def __init__(self) -> None:
        super().__init__(b"{", 200, {"content-length": "1000"})


def _fault_answer(fault: Fault) -> Response | None:
    if fault.fault == "cut":
        return None
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    return Refusal(fault.status, fault.reason, fault.message, headers=headers).response()


async def _json(request: Request) -> dict[str, Any]:
    body = await request.body()
    if len(body) > _MAX_BODY:
        raise Refusal(413, "invalid", "Request Entity Too Large")
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise Refusal(400, "parseError", "Parse Error") from None
    if not isinstance(found, dict):
        raise Refusal(400, "parseError", "Parse Error")
    return found
