"""A server that answers like BigQuery and throws the bytes away, so that only the client's side is measured.

    python benchmarks/sink.py        prints its address and serves until it is ended

It knows what an export asks for: sign-in, datasets, tables, resumable and multipart uploads, jobs.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import sys
import time
import urllib.parse
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PROJECT = "benchmark-project"
tables: dict[str, dict[str, Any]] = {}
jobs: dict[str, dict[str, Any]] = {}
sessions: dict[str, dict[str, Any]] = {}


def not_found(what: str) -> JSONResponse:
    message = f"Not found: {what}"
    return JSONResponse({"error": {"code": 404, "message": message, "errors": [{"reason": "notFound"}]}}, 404)


async def token(_: Request) -> Response:
    return JSONResponse({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})


async def dataset(request: Request) -> Response:
    name = request.path_params.get("dataset", "d")
    reference = {"projectId": PROJECT, "datasetId": name}
    return JSONResponse({"kind": "bigquery#dataset", "id": name, "datasetReference": reference, "location": "US"})


async def make_table(request: Request) -> Response:
    body = await request.json()
    body["numRows"] = "0"
    tables[body["tableReference"]["tableId"]] = body
    return JSONResponse(body)


async def one_table(request: Request) -> Response:
    name = urllib.parse.unquote(request.path_params["table"])
    if request.method == "DELETE":
        tables.pop(name, None)
        return Response(status_code=204)
    found = tables.get(name)
    return JSONResponse(found) if found else not_found(f"Table {PROJECT}:d.{name}")


def done(description: dict[str, Any]) -> dict[str, Any]:
    reference = {"location": "US", **description.get("jobReference", {})}
    reference.setdefault("jobId", secrets.token_hex(8))
    now = str(int(time.time() * 1000))
    job = {
        "kind": "bigquery#job",
        "id": f"{PROJECT}:US.{reference['jobId']}",
        "jobReference": reference,
        "configuration": {**description.get("configuration", {}), "jobType": "LOAD"},
        "status": {"state": "DONE"},
        "statistics": {"creationTime": now, "startTime": now, "endTime": now, "load": {"outputRows": "0"}},
    }
    jobs[reference["jobId"]] = job
    return job


async def job(request: Request) -> Response:
    found = jobs.get(request.path_params["job"])
    return JSONResponse(found) if found else not_found(f"Job {PROJECT}:US.{request.path_params['job']}")


async def begin_upload(request: Request) -> Response:
    if request.query_params.get("uploadType") == "multipart":
        body = await request.body()
        described = re.search(rb"\r\n\r\n(\{.*?\})\r\n--", body, re.DOTALL)
        return JSONResponse(done(json.loads(described[1]) if described else {}))
    session = secrets.token_hex(8)
    sessions[session] = await request.json()
    return Response(
        headers={"Location": f"{request.url.replace_query_params(uploadType='resumable', upload_id=session)}"}
    )


async def piece(request: Request) -> Response:
    received = 0
    async for block in request.stream():
        received += len(block)
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", request.headers.get("content-range", ""))
    if found and found[3] != str(int(found[2]) + 1):
        return Response(status_code=308, headers={"Range": f"bytes=0-{found[2]}"})
    return JSONResponse(done(sessions.pop(request.query_params["upload_id"])))


BASE = "/bigquery/v2/projects/{project}"
app = Starlette(
    routes=[
        Route("/token", token, methods=["POST"]),
        Route(f"{BASE}/datasets", dataset, methods=["POST"]),
        Route(f"{BASE}/datasets/{{dataset}}", dataset),
        Route(f"{BASE}/datasets/{{dataset}}/tables", make_table, methods=["POST"]),
        Route(f"{BASE}/datasets/{{dataset}}/tables/{{table}}", one_table, methods=["GET", "DELETE", "PATCH"]),
        Route(f"{BASE}/jobs/{{job}}", job),
        Route("/upload" + BASE + "/jobs", begin_upload, methods=["POST"]),
        Route("/upload" + BASE + "/jobs", piece, methods=["PUT"]),
    ]
)


def main() -> None:
    """Serve on a free port of loopback; the first line of output is the address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
