"""What a server answers by itself: to whom, and that no page of another origin reads it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tidemill.capture.metrics import Metrics
from tidemill.capture.server import Server


class _Metrics:
    def text(self) -> bytes:
        return b"tidemill_events 1\n"

    def answered(self, *_: Any) -> None:
        return


def ask(path: str, method: str = "GET", token: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask a server from this machine."""
    told: list[Any] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": ("127.0.0.1", 5),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    server = Server(list, lambda: None, cast("Metrics", _Metrics()), token)
    asyncio.run(server(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return told[0]["status"], found, told[1]["body"]


@pytest.mark.parametrize("path", ["/metrics", "/health", "/ready", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_page_of_another_origin_may_read_what_is_not_for_sdks(path: str, method: str) -> None:
    _, headers, _ = ask(path, method, host="localhost:8000", origin="https://evil.example")
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_a_name_of_somebody_elses_that_leads_here_gives_no_metrics(host: str) -> None:
    assert ask("/metrics", host=host)[0] == 401


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "tidemill.localhost"])
def test_this_machine_reads_its_metrics(host: str) -> None:
    assert ask("/metrics", host=host)[::2] == (200, b"tidemill_events 1\n")


def test_who_has_the_token_reads_them_by_any_name() -> None:
    assert ask("/metrics", token="t0ken", host="tidemill.example", authorization="Bearer t0ken")[0] == 200
