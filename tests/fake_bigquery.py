"""A small BigQuery for tests: it answers Google's client over HTTP, and goes wrong exactly where a test says.

It keeps datasets, tables and jobs in memory, takes a job id once, and speaks the resumable upload protocol. It does not
run SQL: the embedded BigQuery does.
"""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tidemill.bigquery.retry import Policy

PROJECT, DATASET, ACCOUNT = "project-123", "analytics", "loader@project-123.iam.gserviceaccount.com"
GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"
Answer = tuple[int, Any, dict[str, str]]


@functools.cache
def private_key() -> str:
    """An RSA key in PEM, made once for all tests."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def key_fields(token_uri: str = GOOGLE_TOKENS) -> dict[str, Any]:
    """The fields of a service account key."""
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "0123456789abcdef",
        "private_key": private_key(),
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": token_uri,
    }


def google_error(status: int, reason: str, message: str) -> dict[str, Any]:
    """The body of an error as BigQuery writes it."""
    return {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.most: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def jitter(self, least: float, most: float) -> float:
        """The longest wait there can be; it must begin at 0 (full jitter)."""
        assert least == 0
        self.most.append(most)
        return most

    def policy(self, deadline: float = 600) -> Policy:
        """Retries by this clock."""
        return Policy(deadline, clock=lambda: self.now, sleep=self.sleep, jitter=self.jitter)


@dataclasses.dataclass
class Fault:
    """What to do, `times` over, instead of answering requests of this method and path.

    `status` None cuts the connection. `done`: the request is carried out, and only its answer is lost.
    """

    method: str
    path: str
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    done: bool = False
    times: int = 1


class FakeBigQuery:
    """The server; a context manager. What a test may set or look at is an attribute."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {DATASET: {"location": "EU"}}
        self.tables: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, list[bytes]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.denied: set[str] = set()
        self.faults: list[Fault] = []
        #: errorResult of the jobs to come, in order; None for success, which is also what follows.
        self.results: list[dict[str, Any] | None] = []
        self.polls_until_done = 0
        self.hidden_polls = 0  # how often jobs.get says 404 of a job that is there
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.log: list[dict[str, Any]] = []  # the same, as tests.discovery wants them
        self.on_request: Callable[[str, str], None] = lambda _method, _path: None
        self.sessions: dict[str, tuple[dict[str, Any], bytearray]] = {}
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> FakeBigQuery:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def key(self) -> str:
        """A service account key whose tokens this server grants."""
        return json.dumps(key_fields(f"{self.url}/token"))

    def add_table(self, table: str, *fields: tuple[str, str], **more: Any) -> None:
        """A table with these (name, type) fields."""
        schema = {"fields": [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in fields]}
        self.tables[table] = {"tableReference": _reference(table), "schema": schema, **more}
        self.rows[table] = []

    def seen(self, method: str, path: str) -> list[dict[str, str]]:
        """Headers of the requests of this method whose path matches."""
        return [headers for verb, where, headers in self.requests if verb == method and re.search(path, where)]

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """The answer, or None to cut the connection."""
        with self._lock:
            self.requests.append((method, path, headers))
            self._note(method, path, headers, body)
            self.on_request(method, path)
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    if fault.done:
                        self._route(method, path, headers, body)
                    return (fault.status, fault.body, fault.headers) if fault.status else None
            return self._route(method, path, headers, body)

    def _note(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        where = urllib.parse.urlsplit(path)
        parsed = json.loads(body) if headers.get("content-type", "").startswith("application/json") and body else None
        query = dict(urllib.parse.parse_qsl(where.query))
        self.log.append({"method": method, "path": where.path, "query": query, "body": parsed})

    def _route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        where = urllib.parse.urlsplit(path)
        if where.path == "/token":
            return 200, {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}, {}
        if where.path.startswith("/upload/"):
            return self._upload(method, where.query, headers, body)
        parts = where.path.removeprefix(f"/bigquery/v2/projects/{PROJECT}/").split("/")
        data = json.loads(body) if body else {}
        match parts:
            case ["datasets", *rest]:
                return self._datasets(method, rest, data)
            case ["jobs"]:
                return self._insert(data)
            case ["jobs", job_id, *rest]:
                return self._job(job_id, cancel=bool(rest))
            case ["queries", job_id]:
                done = {"jobComplete": True, "jobReference": self.jobs[job_id]["jobReference"], "totalRows": "0"}
                return 200, {**done, "schema": {"fields": []}}, {}
        return 404, google_error(404, "notFound", f"Not found: URL {path}"), {}

    def _deny(self, permission: str, what: str) -> Answer | None:
        if permission not in self.denied:
            return None
        message = f"Access Denied: {what}: Permission {permission} denied on {what} (or it may not exist)."
        return 403, google_error(403, "accessDenied", message), {}

    def _datasets(self, method: str, rest: list[str], data: dict[str, Any]) -> Answer:
        match method, rest:
            case "GET", []:
                found = [{"datasetReference": _dataset(name), **fields} for name, fields in self.datasets.items()]
                return 200, {"datasets": found}, {}
            case "GET", [name]:
                gone: Answer = 404, google_error(404, "notFound", f"Not found: Dataset {PROJECT}:{name}"), {}
                said = self._deny("bigquery.datasets.get", f"Dataset {PROJECT}:{name}")
                shown = {"datasetReference": _dataset(name), **self.datasets.get(name, {})}
                return said or ((200, shown, {}) if name in self.datasets else gone)
            case "POST", []:
                name = data["datasetReference"]["datasetId"]
                if name in self.datasets:
                    return 409, google_error(409, "duplicate", f"Already Exists: Dataset {PROJECT}:{name}"), {}
                self.datasets[name] = {"location": data.get("location", "US")}
                return 200, {"datasetReference": _dataset(name), **self.datasets[name]}, {}
        return self._tables(method, rest[2:], data)

    def _tables(self, method: str, rest: list[str], data: dict[str, Any]) -> Answer:
        name = rest[0] if rest else data.get("tableReference", {}).get("tableId", "")
        what = f"Table {PROJECT}:{DATASET}.{name}"
        gone: Answer = 404, google_error(404, "notFound", f"Not found: {what}"), {}
        match method, rest:
            case "GET", []:
                listed = [{"tableReference": _reference(table)} for table in self.tables]
                return self._deny("bigquery.tables.list", what) or (200, {"tables": listed}, {})
            case "POST", []:
                if said := self._deny("bigquery.tables.create", what):
                    return said
                if name in self.tables:
                    return 409, google_error(409, "duplicate", f"Already Exists: {what}"), {}
                self.tables[name], self.rows[name] = {**data, "numRows": "0"}, []
                return 200, self.tables[name], {}
            case "GET", [_]:
                found = self.tables.get(name)
                return self._deny("bigquery.tables.get", what) or ((200, found, {}) if found else gone)
            case "DELETE", [_]:
                if said := self._deny("bigquery.tables.delete", what):
                    return said
                return (204, None, {}) if self.tables.pop(name, None) else gone
            case "GET", [_, "data"]:
                found_rows = [{"f": [{"v": v} for v in json.loads(row).values()]} for row in self.rows[name]]
                listed_rows = {"totalRows": str(len(found_rows)), "rows": found_rows}
                return self._deny("bigquery.tables.getData", what) or (200, listed_rows, {})
        return gone

    def _insert(self, job: dict[str, Any], content: bytes = b"") -> Answer:
        if said := self._deny("bigquery.jobs.create", f"Project {PROJECT}"):
            return said
        if job["configuration"].get("dryRun"):
            return 200, {**job, "status": {"state": "DONE"}, "statistics": {"query": {"totalBytesProcessed": "7"}}}, {}
        job_id = job["jobReference"]["jobId"]
        if job_id in self.jobs:
            return 409, google_error(409, "duplicate", f"Already Exists: Job {PROJECT}:EU.{job_id}"), {}
        error = self.results.pop(0) if self.results else None
        kind = next(iter(job["configuration"].keys() & {"load", "query"}))
        job["configuration"]["jobType"] = kind.upper()
        job["fake"] = {"polls": self.polls_until_done, "error": error, "content": content, "hidden": self.hidden_polls}
        self.jobs[job_id] = job
        return self._shown(job)

    def _job(self, job_id: str, *, cancel: bool) -> Answer:
        job = self.jobs.get(job_id)
        if job and not cancel and job["fake"]["hidden"] > 0:
            job["fake"]["hidden"] -= 1
            job = None
        if job is None:
            return 404, google_error(404, "notFound", f"Not found: Job {PROJECT}:{job_id}"), {}
        job["fake"]["polls"] -= 1
        if cancel:
            if job["fake"]["polls"] >= 0:
                job["fake"] |= {"polls": 0, "error": {"reason": "stopped", "message": "Job execution was cancelled"}}
            status, shown, more = self._shown(job)
            return status, {"job": shown}, more
        return self._shown(job)

    def _shown(self, job: dict[str, Any]) -> Answer:
        fake = job["fake"]
        status: dict[str, Any] = {"state": "RUNNING"}
        statistics: dict[str, Any] = {}
        if fake["polls"] <= 0:
            status = {"state": "DONE"}
            if fake["error"]:
                status |= {"errorResult": fake["error"], "errors": [fake["error"]]}
            elif job["configuration"]["jobType"] == "LOAD":
                self._land(job)
                count = len(fake["content"].splitlines())
                loaded = {"outputRows": str(count), "inputFileBytes": str(len(fake["content"]))}
                statistics = {"load": loaded, "endTime": str(int(time.time() * 1000))}
        shown = {name: value for name, value in job.items() if name != "fake"}
        return 200, {**shown, "status": status, "statistics": statistics}, {}

    def _land(self, job: dict[str, Any]) -> None:
        if not job["fake"].get("landed"):
            job["fake"]["landed"] = True
            self.rows[job["configuration"]["load"]["destinationTable"]["tableId"]] += job["fake"][
                "content"
            ].splitlines()

    def _upload(self, method: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        if method == "POST":
            name = f"s{len(self.sessions) + 1}"
            self.sessions[name] = (json.loads(body), bytearray())
            where = f"{self.url}/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=resumable&upload_id={name}"
            return 200, None, {"Location": where}
        name = urllib.parse.parse_qs(query)["upload_id"][0]
        job, content = self.sessions[name]
        sent = re.fullmatch(r"bytes (\*|(\d+)-\d+)/(\*|\d+)", headers["content-range"])
        assert sent, headers["content-range"]
        if self.jobs.get(job["jobReference"]["jobId"]) is job:
            return self._shown(job)
        if sent[2]:
            if int(sent[2]) != len(content):
                return 400, google_error(400, "invalid", f"The upload has {len(content)} bytes, not {sent[2]}."), {}
            content += body
        if sent[3] != "*" and int(sent[3]) == len(content):
            return self._insert(job, bytes(content))
        return 308, None, {"Range": f"bytes=0-{len(content) - 1}"} if content else {}


def _dataset(name: str) -> dict[str, str]:
    return {"projectId": PROJECT, "datasetId": name}


def _reference(table: str) -> dict[str, str]:
    return {**_dataset(DATASET), "tableId": table}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeBigQuery


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet an answer: or else each waits 40 ms for the acknowledgement of its headers
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        found = self.server.fake.answer(self.command, self.path, headers, body)
        if found is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, answer, more = found
        content = b"" if answer is None else answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""
