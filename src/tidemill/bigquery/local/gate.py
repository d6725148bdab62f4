"""The gate: an ASGI application in front of the emulator that behaves as Google's API does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import time
import urllib.parse
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from tidemill.bigquery.local import permissions
from tidemill.bigquery.local.accounts import Accounts
from tidemill.bigquery.local.answers import Refusal, not_found
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.faults import OF_JOBS, Fault, Faults
from tidemill.bigquery.local.grpc_service import Server
from tidemill.bigquery.local.jobs import Jobs
from tidemill.bigquery.local.load_jobs import LoadJobs
from tidemill.bigquery.local.queries import Queries
from tidemill.bigquery.local.read_calls import ReadCalls
from tidemill.bigquery.local.read_service import ReadService
from tidemill.bigquery.local.requests import RequestLog
from tidemill.bigquery.local.service import read_projects
from tidemill.bigquery.local.streams import Streams
from tidemill.bigquery.local.tables import Tables
from tidemill.bigquery.local.tokens import Tokens
from tidemill.bigquery.local.write_calls import WriteCalls
from tidemill.bigquery.local.write_service import WriteService

_log = logging.getLogger(__name__)
_HOUSEKEEPING_SECONDS = 60


class Gate:
    """The ASGI application."""

    def __init__(self, directory: Path, emulator: Emulator, url: str, storage: str, secret: str) -> None:
        """`storage`: where the Storage APIs are; `secret`: whoever has it may set fault plans."""
        self._directory, self._emulator, self._url, self._secret = directory, emulator, url, secret
        self._storage_address = storage
        self._accounts = Accounts(directory)
        self._tokens = Tokens(self._accounts)
        self._faults = Faults()
        self._tables = Tables(emulator)
        book = Jobs(emulator.connection)
        self._queries = Queries(emulator, book, self._tables, self._faults)
        self._loads = LoadJobs(emulator, book, self._tables, directory / "uploads", url)
        self._log = RequestLog(directory / "requests.jsonl")
        self._projects: set[str] = set()
        self._write_calls = WriteCalls(emulator, Streams(emulator.connection))
        self._read_calls = ReadCalls(emulator, directory / "sessions")
        common = (self._tokens, self._accounts, self._faults, self._log, self._known)
        self.storage = Server([WriteService(self._write_calls, *common), ReadService(self._read_calls, *common)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, method = str(scope["path"]), str(scope["method"])
        fault = None if path.startswith("/_tidemill") else self._faults.next(method, path)
        if fault and fault.after_bytes is not None and fault.fault == "cut":
            receive = _cut_after(receive, fault.after_bytes)
        request = Request(scope, receive)
        response = await self._answer(request, fault)
        await (response or _Cut())(scope, receive, send)

    async def keep_house(self) -> None:
        """Remove what has expired, until it is cancelled."""
        while True:
            try:
                self._loads.uploads.remove_abandoned()
                await self._tables.remove_expired()
                await self._write_calls.forget_old()
                self._read_calls.forget_old()
            except Exception:  # noqa: BLE001 - the next round may fare better, and nobody else does this
                _log.exception("what has expired could not be removed")
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)

    async def _answer(self, request: Request, fault: Fault | None) -> Response | None:
        """The answer; None to end the connection without one."""
        if fault and fault.fault == "expire_tokens":
            self._tokens.expire()
        early = fault and fault.fault in {"status", "cut"} and not fault.after_commit and fault.after_bytes is None
        response: Response | None
        if fault and early:
            response = _fault_answer(fault)
            self._log.write(request, response.status_code if response else 0, fault.fault)
            return response
        try:
            response = await self._route(request, fault if fault and fault.fault in OF_JOBS else None)
        except Refusal as refusal:
            response = refusal.response()
        except ClientDisconnect:
            self._log.write(request, 0, fault.fault if fault else "")
            return None
        except RecursionError:
            response = Refusal(400, "invalid", "The request is nested too deep.").response()
        except Exception as error:  # noqa: BLE001 - as Google: 500, and the reason in the log
            _log.exception("%s %s", request.method, request.url.path)
            response = Refusal(500, "internalError", f"The embedded BigQuery failed: {error!r}").response()
        self._log.write(request, response.status_code, fault.fault if fault else "")
        if fault and fault.fault == "delay_response":
            await asyncio.sleep(fault.seconds)
        return _fault_answer(fault) if fault and fault.fault in {"status", "cut"} else response

    async def _route(self, request: Request, fault: Fault | None) -> Response:
        path = request.url.path
        if path.startswith("/_tidemill/"):
            return await self._own(request)
        if path == "/token":
            form = urllib.parse.parse_qs((await request.body()).decode("utf-8", "replace"))
            return self._tokens.grant({name: values[0] for name, values in form.items()}, f"{self._url}/token")
        account = self._tokens.holder(request.headers.get("authorization"))
        granted = self._accounts.permissions(account)
        if found := re.fullmatch(r"/v1/projects/-/serviceAccounts/([^:]+):generateAccessToken", path):
            return self._impersonate(granted, found[1])
        if found := re.fullmatch(r"(?:/resumable)?/upload/bigquery/v2/projects/([^/]+)/jobs", path):
            self._known(found[1])
            return await self._loads.upload(request, found[1], account, granted, fault)
        at = permissions.place(path)
        if at is None:
            raise not_found(path)
        self._known(at.project)
        if found := re.fullmatch(r"/(jobs|queries)(?:/([^/]+))?(/cancel)?", at.rest):
            if request.method == "POST" and not found[2]:
                return await self._queries.begin(request, at.project, found[1], account, granted, fault)
            return await self._queries.asked(request, at.project, found[1], found[2])
        return await self._tables.request(request, at, granted)

    def _known(self, project: str) -> None:
        if project not in self._projects:
            self._projects = read_projects(self._directory)
        if project not in self._projects:
            raise not_found(f"Project {project}")

    async def _own(self, request: Request) -> Response:
        """Health for everybody; fault plans for who has the secret."""
        if request.url.path.endswith("/health"):
            state = {"ready": True, "url": self._url, "storage": self._storage_address, "pid": os.getpid()}
            return JSONResponse(state)
        if not secrets.compare_digest(request.headers.get("x-tidemill-secret", ""), self._secret):
            raise Refusal(403, "forbidden", "The secret is in the state file of the embedded BigQuery.")
        if request.method == "PUT":
            try:
                self._faults.set(json.loads(await request.body()))
            except ValueError as error:
                raise Refusal(400, "invalid", f"The fault plan is none: {error}") from None
        return JSONResponse([vars(fault) for fault in self._faults.plan])

    def _impersonate(self, granted: frozenset[str], account: str) -> Response:
        if "iam.serviceAccounts.getAccessToken" not in granted or account not in self._accounts.all():
            said = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise Refusal(403, "accessDenied", said)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        return JSONResponse({"accessToken": self._tokens.issue(account), "expireTime": until})


class _Cut(Response):
    """The connection ends in the middle of an answer."""

    def __init__(self) -> None:
        super().__init__(b"{", 200, {"content-length": "1000"})


def _cut_after(receive: Receive, count: int) -> Receive:
    """The request's body up to so many bytes, or all of it if it is shorter; then the sender is gone."""
    left, ended = count, False

    async def cut() -> Message:
        nonlocal left, ended
        if ended:
            return {"type": "http.disconnect"}
        message = await receive()
        if message["type"] != "http.request":
            return message
        body = message.get("body", b"")
        ended = len(body) >= left or not message.get("more_body", False)
        body, left = body[:left], left - len(body)
        return {"type": "http.request", "body": body, "more_body": True}

    return cut


def _fault_answer(fault: Fault) -> Response | None:
    if fault.fault == "cut":
        return None
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    return Refusal(fault.status, fault.reason, fault.message, headers=headers).response()
