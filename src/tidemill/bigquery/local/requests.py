"""A log of the requests that came, for tests and for people: JSON lines, without tokens or files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from starlette.requests import Request

from tidemill.bigquery.local.faults import GRPC

_MAX_BYTES = 20_000_000


class RequestLog:
    """Appends to a file, which starts anew when it has grown to 20 MB."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, request: Request, status: int, fault: str = "") -> None:
        """One line about a request. `status`: 0 if it was cut off before the work; `fault`: what was done to it.

        The body is kept if it was JSON that the gate read.
        """
        body = getattr(request, "_body", b"")
        kept = None
        if body[:1] == b"{" and len(body) < 1_000_000 and request.url.path != "/token":
            try:
                kept = json.loads(body)
            except ValueError:
                kept = None  # it was answered with 400
        line = {
            "at": time.time(),
            "method": request.method,
            "path": request.url.path,
            "query": dict(request.query_params),
            "status": status,
            "agent": request.headers.get("user-agent", ""),
            "body": kept,
        }
        self._add(line, fault)

    def write_call(self, path: str, code: str, agent: str, body: dict[str, Any] | None, fault: str = "") -> None:
        """One line about a call by gRPC, or about a message of it. `code`: how it was answered, such as ``OK``."""
        line = {"at": time.time(), "method": GRPC, "path": path, "query": {}, "status": code, "agent": agent}
        self._add({**line, "body": body}, fault)

    def _add(self, line: dict[str, Any], fault: str) -> None:
        if fault:
            line["fault"] = fault
        if self._path.exists() and self._path.stat().st_size > _MAX_BYTES:
            self._path.unlink()
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
