"""Query jobs: `jobs.insert`, `jobs.query`, `jobs.list`, `jobs.get`, and the rows of what they gave."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidemill.bigquery.local import jobs, jobs_view, nameless, sql_needs, wording
from tidemill.bigquery.local.answers import Refusal, denied, of_job
from tidemill.bigquery.local.bodies import read_json
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.faults import Fault, Faults
from tidemill.bigquery.local.places import job_location
from tidemill.bigquery.local.sql_needs import Effect, Statement
from tidemill.bigquery.local.statements import Statements
from tidemill.bigquery.local.tables import Tables

#: What `jobs.query` has at the top and a job has in `configuration.query`.
_OF_QUERY = (
    "query",
    "useLegacySql",
    "defaultDataset",
    "parameterMode",
    "queryParameters",
    "maximumBytesBilled",
    "useQueryCache",
    "createSession",
    "connectionProperties",
)


class Queries:
    """Jobs that are asked for as JSON, and all that is asked about jobs."""

    def __init__(self, emulator: Emulator, book: jobs.Jobs, tables: Tables, faults: Faults) -> None:
        self._emulator, self._book, self._tables, self._faults = emulator, book, tables, faults
        self._statements = Statements(emulator.engine, book)
        self._late: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}

    async def begin(
        self, request: Request, project: str, kind: str, account: str, granted: frozenset[str], fault: Fault | None
    ) -> Response:
        """Answer `jobs.insert` and `jobs.query`. `fault`: what shall become of the job."""
        if "bigquery.jobs.create" not in granted:
            raise denied("bigquery.jobs.create", project)
        body = await read_json(request)
        wanted = _as_job(body, account) if kind == "queries" else body
        reference, configuration = wanted.get("jobReference") or {}, wanted.get("configuration") or {}
        query = configuration.get("query")
        if not isinstance(query, dict):
            raise Refusal(501, "notImplemented", "Only queries and uploads can be run in the embedded BigQuery.")
        if query.get("destinationTable"):
            said = "A query into a destination table is not done: write CREATE TABLE … AS, or INSERT INTO …"
            raise Refusal(501, "notImplemented", said)
        sql = str(query.get("query") or "")
        statement = sql_needs.read(sql, project, (query.get("defaultDataset") or {}).get("datasetId"))
        statement.check(granted, project)
        location = job_location(self._emulator, reference.get("location"), statement.datasets)
        changed = jobs_view.replaced(sql, lambda: self._book.list(project, limit=200))
        sent = {**configuration, "query": {**query, "query": changed}}
        if configuration.get("dryRun"):
            return await self._dry_run(request, kind, body, sent, location, fault, self._read_by(statement))
        job_id = str(reference.get("jobId") or f"job_{secrets.token_hex(12)}")
        if kind == "queries" and self._book.find(project, job_id):  # the same requestId: the same answer
            return await self._answer(project, job_id, body)
        job = jobs.resource(project, job_id, location, configuration, account, time.time())
        with contextlib.ExitStack() as running:
            running.enter_context(self._book.running(job))
            if kind == "jobs" and fault is not None and fault.fault == "slow_job":
                self._begin_late(job, sent, statement, fault, running.pop_all())
                return JSONResponse(self._book.get(project, job_id, None))
            done = await self._run(job, sent, statement, fault)
        return await self._answer(project, job_id, body) if kind == "queries" else JSONResponse(done)

    def _begin_late(
        self,
        job: dict[str, Any],
        configuration: dict[str, Any],
        statement: Statement,
        fault: Fault,
        running: contextlib.ExitStack,
    ) -> None:
        """The job is RUNNING, and its work begins later, if it is not cancelled before."""
        stopped = asyncio.Event()
        name = job["jobReference"]["jobId"]

        async def late() -> None:
            with running:
                try:
                    if await self._faults.let_go(fault, stopped):
                        await self._run(job, configuration, statement, None)
                    else:
                        self._failed(job, "stopped", "Job execution was cancelled: User requested cancellation")
                except Refusal as refusal:
                    self._failed(job, refusal.reason, refusal.message)

        task = asyncio.create_task(late())
        self._late[name] = (task, stopped)
        task.add_done_callback(lambda _: self._late.pop(name, None))

    async def _dry_run(
        self,
        request: Request,
        kind: str,
        body: dict[str, Any],
        configuration: dict[str, Any],
        location: str,
        fault: Fault | None,
        tables: list[dict[str, Any]],
    ) -> Response:
        if fault is not None and fault.fault == "job_error":
            raise of_job({"reason": fault.reason, "message": fault.message})
        sent = {**body, "configuration": configuration}
        if kind == "queries":
            sent = {**body, "query": configuration["query"]["query"]}
        with self._statements.dry():
            response = await self._emulator.send("POST", request.url.path, sent)
        return _placed(response, location, tables, str(configuration["query"]["query"]))

    def _read_by(self, statement: Statement) -> list[dict[str, Any]]:
        """The tables that a statement reads, as jobs tell them: those behind views with the views."""
        found: dict[tuple[str, str | None, str | None], None] = {}
        waiting = [at for name, at in statement.needs if name == "bigquery.tables.getData"]
        while waiting:
            at = waiting.pop()
            if (key := (at.project, at.dataset, at.table)) in found:
                continue
            found[key] = None
            if query := self._emulator.view_query(at):
                waiting += [at for _, at in sql_needs.read(query, at.project, at.dataset).needs]
        return [{"projectId": project, "datasetId": dataset, "tableId": table} for project, dataset, table in found]

    async def _run(
        self, job: dict[str, Any], configuration: dict[str, Any], statement: Statement, fault: Fault | None
    ) -> dict[str, Any]:
        """Run the job; it is in the book then. Raises Refusal if it never was."""
        if fault is not None and fault.fault == "job_error":
            return self._failed(job, fault.reason, fault.message)
        if fault is not None:
            await self._faults.let_go(fault, asyncio.Event())
        async with contextlib.AsyncExitStack() as stack:
            if statement.effect is not Effect.READS:
                await stack.enter_async_context(self._emulator.changing())
                for at in statement.changed:
                    stack.callback(self._emulator.touch, at)
            if statement.effect is Effect.ANYTHING:
                self._book.begin(job)
            elif statement.effect is Effect.ROWS:
                stack.enter_context(self._statements.entering(job))
            done = await self._send(job, configuration)
            if statement.effect is Effect.ANYTHING:
                for at in statement.created:
                    self._tables.made(at)
                for at in (*statement.created, *statement.altered):
                    await self._tables.read_columns(at)
        self._book.save_alone(done)
        return done

    async def _send(self, job: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
        reference = job["jobReference"]
        project, job_id = reference["projectId"], reference["jobId"]
        sql, location = str(job["configuration"]["query"].get("query") or ""), str(reference["location"])
        body = {"jobReference": {"projectId": project, "jobId": job_id}, "configuration": configuration}
        began = int(job["statistics"]["startTime"]) / 1000
        try:
            response = await self._emulator.send("POST", f"/bigquery/v2/projects/{project}/jobs", body)
        except Refusal as refusal:
            if done := self._rows_done(project, job_id):
                return done
            if self._book.entry(project, job_id):  # it began, and may be done in part: it cannot run again
                self._failed(job, refusal.reason, refusal.message)
            raise
        if done := self._rows_done(project, job_id) if response.status_code != 200 else None:
            return done
        if response.status_code != 200:
            self._book.forget(job)
            raise _refusal(response, sql, location)
        answer = json.loads(bytes(response.body))
        error = (answer.get("status") or {}).get("errorResult")
        if error and (done := self._rows_done(project, job_id)):
            return done
        if error:
            error = {**error, "message": wording.worded(str(error.get("message", "")), sql, location)}
        into = answer.get("configuration", {}).get("query", {}).get("destinationTable")
        given = job["configuration"]
        if into:
            given = {**given, "query": {**given["query"], "destinationTable": into}}
        return jobs.resource(
            project,
            job_id,
            reference["location"],
            given,
            job["user_email"],
            began,
            statistics=answer.get("statistics") or {"query": {}},
            error=error,
        )

    def _rows_done(self, project: str, job_id: str) -> dict[str, Any] | None:
        """The job, if its statement is done: what failed came after it."""
        entry = self._book.entry(project, job_id)
        return entry if entry and entry["status"]["state"] == "DONE" else None

    def _failed(self, job: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
        done = {**job, "status": jobs.failed(reason, message)}
        self._book.save_alone(done)
        return done

    async def asked(self, request: Request, project: str, kind: str, job_id: str | None) -> Response:
        """Answer `jobs.list`, `jobs.get`, `jobs.cancel` and `jobs.getQueryResults`."""
        if job_id is None:
            return self._list(request, project)
        job = self._book.get(project, job_id, request.query_params.get("location"))
        if kind == "queries":
            return JSONResponse(await self._rows(job, dict(request.query_params)))
        if request.method != "POST":
            return JSONResponse(job)
        if job_id in self._late:
            self._late[job_id][1].set()
        return JSONResponse({"kind": "bigquery#jobCancelResponse", "job": job})

    def _list(self, request: Request, project: str) -> Response:
        asked = request.query_params
        try:
            limit, skip = int(asked.get("maxResults") or 1000), int(asked.get("pageToken") or 0)
        except ValueError:
            raise Refusal(400, "invalid", "maxResults or pageToken is not what it should be.") from None
        found = self._book.list(project, limit=limit + 1, skip=skip, states=asked.getlist("stateFilter"))
        listed = [
            {**job, "state": job["status"]["state"], "errorResult": job["status"].get("errorResult")}
            for job in found[:limit]
        ]
        answer = {"kind": "bigquery#jobList", "jobs": listed}
        return JSONResponse({**answer, "nextPageToken": str(skip + limit)} if len(found) > limit else answer)

    async def _answer(self, project: str, job_id: str, body: dict[str, Any]) -> Response:
        """The answer to `jobs.query`."""
        asked = {"maxResults": str(body["maxResults"])} if body.get("maxResults") is not None else {}
        rows = await self._rows(self._book.get(project, job_id, None), asked)
        return JSONResponse({**rows, "kind": "bigquery#queryResponse"})

    async def _rows(self, job: dict[str, Any], asked: dict[str, str]) -> dict[str, Any]:
        """The answer to `jobs.getQueryResults`. Raises Refusal for a job that failed."""
        if error := job["status"].get("errorResult"):
            raise of_job(error)
        reference, query = job["jobReference"], job["statistics"].get("query", {})
        answer: dict[str, Any] = {"kind": "bigquery#getQueryResultsResponse", "jobReference": reference}
        if job["status"]["state"] != "DONE":
            return {**answer, "jobComplete": False}
        for name in ("statementType", "numDmlAffectedRows", "ddlOperationPerformed", "cacheHit"):
            if name in query:
                answer[name] = query[name]
        path = f"/bigquery/v2/projects/{reference['projectId']}/queries/{reference['jobId']}"
        asked = {name: value for name, value in asked.items() if name in {"maxResults", "startIndex", "pageToken"}}
        response = await self._emulator.send("GET", path, None, params=asked)
        if response.status_code == 200:
            return {**json.loads(bytes(response.body)), **answer}
        if query.get("statementType") in {None, "SELECT", "SCRIPT"}:
            raise _refusal(response)
        # The rows of a SELECT do not outlive the process; other statements have none.
        return {**answer, "jobComplete": True, "schema": {"fields": []}, "rows": [], "totalRows": "0"}


def _as_job(body: dict[str, Any], account: str) -> dict[str, Any]:
    """A request of `jobs.query` as one of `jobs.insert`. The same `requestId` makes the same job."""
    query = {name: body[name] for name in _OF_QUERY if name in body}
    configuration = {"query": query, "labels": body.get("labels") or {}, "dryRun": bool(body.get("dryRun"))}
    reference = {"location": body.get("location")}
    if body.get("requestId"):
        known = hashlib.sha256(f"{account}\n{body['requestId']}".encode()).hexdigest()
        reference["jobId"] = f"job_{known[:24]}"
    return {"jobReference": reference, "configuration": configuration}


def _refusal(response: Response, sql: str = "", location: str = "US") -> Refusal:
    """The emulator's error as one of ours. `sql`, `location`: of the statement that it is about."""
    error = json.loads(bytes(response.body)).get("error", {})
    first = (error.get("errors") or [{}])[0]
    said = str(error.get("message", "The embedded BigQuery refused it."))
    said = wording.worded(said, sql, location)
    return Refusal(response.status_code, str(first.get("reason", "invalid")), said)


def _placed(response: Response, location: str, tables: list[dict[str, Any]], sql: str) -> Response:
    """A dry run's answer, with the location that its job would have, what it would read, and names for all columns."""
    body = json.loads(bytes(response.body))
    wording.reworded(body, sql, location)
    told = body.get("statistics", {}).get("query")
    for schema in (body.get("schema"), told.get("schema") if isinstance(told, dict) else None):
        if isinstance(schema, dict):
            nameless.rename(sql, schema.get("fields") or [])
    if tables and isinstance(body.get("statistics", {}).get("query"), dict):
        body["statistics"]["query"]["referencedTables"] = tables
    if isinstance(body.get("jobReference"), dict):
        body["jobReference"]["location"] = location
    return JSONResponse(body, response.status_code)
