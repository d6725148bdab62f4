"""Bodies that no client of ours sends, to each route of the HTTP API that takes one: too large, without an end, packed,
nested, no JSON. Each is refused in bounded memory, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gzip
import os
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import dumps
from tests.api_client import Client
from tests.installation import Installation

from tidemill.api.v1.bodies import _LARGER, FILES, MOST_BYTES
from tidemill.app import App

JSON = {"content-type": "application/json"}
_PIECE = b'"' + b"a" * 65_000 + b'",'
#: How a body is, and with which statuses it may be answered.
BODIES: dict[str, tuple[bytes, dict[str, str], set[int]]] = {
    "too large": (b" " * (MOST_BYTES + 1), JSON, {413}),
    "said to be too large": (b"{}", {**JSON, "content-length": "9" * 18}, {413}),
    "nested": (b"[" * 60_000, JSON, {400, 422}),
    "nested in a field": (b'{"mapping":' * 5_000 + b"1" + b"}" * 5_000, JSON, {400, 422}),
    "a number": (b'{"name":' + b"9" * 60_000 + b"}", JSON, {400, 422}),
    "beyond all numbers": (b'{"name":1e999,"limit":NaN}', JSON, {400, 422}),
    "packed": (gzip.compress(b" " * 10_000_000), {**JSON, "content-encoding": "gzip"}, {400, 422}),
    "no JSON": (b"\xff\xfe\0{", JSON, {400, 422}),
    "a form": (b"name=x", {"content-type": "application/x-www-form-urlencoded"}, {415}),
    "a file": (
        b'--b\r\nContent-Disposition: form-data; name="key"; filename="../../../etc/cron.d/x"\r\n\r\n{}\r\n--b--\r\n',
        {"content-type": "multipart/form-data; boundary=b"},
        {415},
    ),
}


@pytest.fixture
def places(installation: Installation) -> Callable[[], set[str]]:
    """All files of the installation, and of the system's folder for what does not stay."""

    def found() -> set[str]:
        home = installation.home
        kept = {str(path) for path in home.rglob("*") if "postgres" not in path.relative_to(home).parts}
        return kept | {entry.path for entry in os.scandir(tempfile.gettempdir()) if entry.name.startswith("tidemill")}

    return found


def taking(client: Client) -> Iterator[tuple[str, str, Any]]:
    """Routes that take a body, and a path of each."""
    for path, methods in client.ask("GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation and path != FILES:  # a file is bounded by a setting
                yield method.upper(), path, operation


def test_no_route_takes_such_a_body(app: App, client: Client, token: str, places: Callable[[], set[str]]) -> None:
    found = [(method, path) for method, path, _ in taking(client)]
    assert len(found) > 35
    headers = {"authorization": f"Bearer {token}", "if-match": "*"}
    before, files = dumps.tables(app), places()

    async def asked() -> dict[str, str]:
        wrong = {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.guarded), base_url="http://here") as program:
            for method, path in found:
                for kind, (given, more, statuses) in BODIES.items():
                    body = b" " * (_LARGER.get(path, MOST_BYTES) + 1) if kind == "too large" else given
                    answer = await program.request(method, path, content=body, headers={**headers, **more})
                    told = answer.headers["content-type"] == "application/problem+json"
                    if answer.status_code not in statuses or not told:
                        wrong[f"{method} {path}: {kind}"] = f"{answer.status_code} {answer.text[:200]}"
        return wrong

    assert asyncio.run(asked()) == {}
    assert dumps.changed(before, dumps.tables(app)) == []
    assert places() == files


def test_a_body_without_an_end_is_not_read_to_its_end(client: Client, token: str) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b"["
        for _ in range(10_000):  # 650 MB
            taken += len(_PIECE)
            yield _PIECE

    async def asked(method: str, path: str) -> int:
        messages, sent = endless(), []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(messages), "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"authorization", f"Bearer {token}".encode())],
            "client": ("127.0.0.1", 1), "server": ("here", 80), "scheme": "http", "http_version": "1.1",
        }  # fmt: skip
        await client.guarded(scope, receive, send)
        return int(sent[0]["status"])

    found = [(method, path) for method, path, _ in taking(client)]
    found.append(("POST", "/api/v1/hooks/anything"))
    tracemalloc.start()
    try:
        statuses = {asyncio.run(asked(method, path)) for method, path in found}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert statuses == {413}
    assert taken <= sum(_LARGER.get(path, MOST_BYTES) + len(_PIECE) for _, path in found)
    assert peak < 40_000_000


#: Of folders, of which one is allowed: srv/out.
PLACES = (
    "file:///etc/cron.d",
    "file://../../../etc",
    "file:///../etc",
    "file:///srv/out/../../etc",
    "file:///srv/out%2f..%2f..%2fetc",
    "file:///srv/outside",
    "file:///srv/out\0/x",
    "file://localhost/etc",
    "FILE:///etc",
)


def test_rows_go_into_no_folder_that_the_server_was_not_told_of(installation: Installation, tmp_path: Path) -> None:
    allowed = tmp_path / "srv" / "out"
    allowed.mkdir(parents=True)
    with installation.app(outbound_folders=str(allowed)) as app:
        client = Client(app)
        token = client.token()
        for place in PLACES:
            wanted = {"kind": "files", "settings": {"place": place.replace("/srv", str(tmp_path / "srv"))}}
            answer = client.ask("POST", "/destinations/test", token, json=wanted)
            assert answer.status_code == 422, (place, answer.text)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "home" not in path.parts] == []
