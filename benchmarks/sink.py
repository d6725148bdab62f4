"""A server that answers like BigQuery and throws the bytes away, so that only the client's side is measured.

    python benchmarks/sink.py        prints its address and serves until it is ended

It knows what an export asks for: sign-in, datasets, tables, resumable and multipart uploads, jobs. Statements (dlt makes
its tables by some) are done at once and give no rows. `GET /received` tells how many bytes came and how many load jobs
were done, so that a client which sent nothing is found out.
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

import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PROJECT = "benchmark-project"
tables: dict[str, dict[str, Any]] = {}
jobs: dict[str, dict[str, Any]] = {}
sessions: dict[str, dict[str, Any]] = {}
#: Of every answer to a statement: some column, or a client takes it for a statement that has no rows to give.
FIELDS = {"fields": [{"name": "f", "type": "STRING"}]}
received = {"bytes": 0, "loads": 0}


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


def rows_in(file: bytes) -> int:
    """Of a file that came in one piece, so that a run knows that it brought some: Parquet says it in its footer, of JSON each line is one."""
    return pq.read_metadata(pa.BufferReader(file)).num_rows if file.startswith(b"PAR1") else file.count(b"\n")


def done(description: dict[str, Any], rows: int = 0) -> dict[str, Any]:
    reference = {"location": "US", **description.get("jobReference", {})}
    reference.setdefault("jobId", secrets.token_hex(8))
    now = str(int(time.time() * 1000))
    kind = "query" if "query" in description.get("configuration", {}) else "load"
    received["loads"] += kind == "load"
    job = {
        "kind": "bigquery#job",
        "id": f"{PROJECT}:US.{reference['jobId']}",
        "jobReference": reference,
        "configuration": {**description.get("configuration", {}), "jobType": kind.upper()},
        "status": {"state": "DONE"},
        "statistics": {"creationTime": now, "startTime": now, "endTime": now, kind: {"outputRows": str(rows)}},
    }
    jobs[reference["jobId"]] = job
    return job


async def job(request: Request) -> Response:
    found = jobs.get(request.path_params["job"])
    return JSONResponse(found) if found else not_found(f"Job {PROJECT}:US.{request.path_params['job']}")


async def make_job(request: Request) -> Response:
    return JSONResponse(done(await request.json()))


async def query(request: Request) -> Response:
    reference = {"projectId": PROJECT, "jobId": request.path_params.get("job", secrets.token_hex(8)), "location": "US"}
    if request.method == "POST":
        done({"jobReference": reference, "configuration": {"query": await request.json()}})
    answer = {"kind": "bigquery#queryResponse", "jobReference": reference, "jobComplete": True}
    return JSONResponse({**answer, "schema": FIELDS, "totalRows": "0", "rows": []})


async def so_far(_: Request) -> Response:
    return JSONResponse(received)


async def begin_upload(request: Request) -> Response:
    if request.query_params.get("uploadType") == "multipart":
        body = await request.body()
        received["bytes"] += len(body)
        described = re.search(rb"\r\n\r\n(\{.*?\})\r\n--", body, re.DOTALL)
        return JSONResponse(done(json.loads(described[1]) if described else {}))
    session = secrets.token_hex(8)
    sessions[session] = await request.json()
    return Response(
        headers={"Location": f"{request.url.replace_query_params(uploadType='resumable', upload_id=session)}"}
    )


async def piece(request: Request) -> Response:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", request.headers.get("content-range", ""))
    whole = found and found[1] == "0" and found[3] == str(int(found[2]) + 1)
    file = []
    async for block in request.stream():
        received["bytes"] += len(block)
        if whole:
            file.append(block)
    if found and found[3] != str(int(found[2]) + 1):
        return Response(status_code=308, headers={"Range": f"bytes=0-{found[2]}"})
    return JSONResponse(done(sessions.pop(request.query_params["upload_id"]), rows_in(b"".join(file))))


BASE = "/bigquery/v2/projects/{project}"
app = Starlette(
    routes=[
        Route("/token", token, methods=["POST"]),
        Route(f"{BASE}/datasets", dataset, methods=["POST"]),
        Route(f"{BASE}/datasets/{{dataset}}", dataset),
        Route(f"{BASE}/datasets/{{dataset}}/tables", make_table, methods=["POST"]),
        Route(f"{BASE}/datasets/{{dataset}}/tables/{{table}}", one_table, methods=["GET", "DELETE", "PATCH"]),
        Route("/received", so_far),
        Route(f"{BASE}/jobs", make_job, methods=["POST"]),
        Route(f"{BASE}/jobs/{{job}}", job),
        Route(f"{BASE}/queries", query, methods=["POST"]),
        Route(f"{BASE}/queries/{{job}}", query),
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
