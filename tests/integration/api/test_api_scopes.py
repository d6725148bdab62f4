"""Each route of the HTTP API needs a token, and one that has its scope; and its description is good enough to be tried
with whatever it allows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api_client import Client

from tidemill.access.permissions import Permission
from tidemill.app import App

#: What may be asked for without a token: the last two let in by a secret of their own.
_OPEN = {"/api/v1/dbt/{name}/webhook", "/api/v1/hooks/{secret}"}
#: What a token must have, by the beginning of the address: to read, and to change.
_SCOPES = {
    "/connections": ("connections:read", "connections:write"),
    "/exports": ("exports:read", "exports:write"),
    "/runs": ("exports:read", ""),
    "/rejects": ("exports:read", ""),
    "/set-up": ("connections:read", ""),
    "/egress-ips": ("connections:read", ""),
    "/configuration": ("connections:read", "connections:read"),
    "/export-models": ("exports:read", ""),
    "/sources": ("connections:read", "connections:write"),
    "/source-models": ("models:read", "models:write"),
    "/destinations": ("destinations:read", "destinations:write"),
    "/destination-kinds": ("destinations:read", ""),
    "/syncs": ("syncs:read", "syncs:write"),
    "/sync-runs": ("syncs:read", ""),
    "/imports": ("imports:read", "imports:write"),
    "/dbt-projects": ("dbt:read", "dbt:write"),
    "/dbt": ("dbt:check", "dbt:check"),
    "/events": ("events:read", "events:write"),
    "/persons": ("persons:read", "persons:delete"),
    "/keys": ("keys:read", "keys:write"),
    "/tokens": ("tokens:read", "tokens:write"),
    "/users": ("users:read", "users:write"),
    "/audit": ("audit:read", ""),
    "/channels": ("channels:read", "channels:write"),
    "/health": ("health:read", ""),
}
#: POSTs that change nothing, and what is a right of its own.
_LOOKS = r"/(test|suggest|look|preview|check|example|estimate|dry-run)$"
_OTHERS = {
    "POST /channels/test": "channels:write",
    "POST /channels/{name}/test": "channels:write",
    "POST /dbt/after-run": "syncs:trigger",
    "POST /connections/test": "connections:write",
    "POST /connections/{name}/test": "connections:write",
    "POST /destinations/test": "destinations:write",
    "POST /destinations/{name}/test": "destinations:write",
    "POST /exports/test": "exports:write",
    "POST /exports/{name}/test": "exports:write",
    "POST /imports/{name}/dry-run": "imports:write",
    "POST /imports/{name}/preview": "imports:write",
    "POST /source-models/{name}/preview": "models:write",
    "POST /source-models/{name}/check": "models:write",
    "POST /sources/{name}/test": "connections:write",
    "POST /syncs/{name}/dry-run": "syncs:trigger",
    "POST /syncs/{name}/test": "syncs:trigger",
}
#: Runs of imports are those of syncs.
_SENDS = r"^POST /(syncs|imports)/\{name\}/(trigger|cancel|rejects/retry|rejects/drop)$"
_RUNS = r"^GET /imports/\{name\}/(runs.*|rejects.*)$"
_STATES = r"^POST /imports/\{name\}/(pause|unpause|reset)$"


def needed(method: str, path: str) -> str:
    """The scope of a route."""
    said = f"{method} {path}"
    if said in _OTHERS:
        return _OTHERS[said]
    if re.search(_SENDS, said):
        return "syncs:trigger"
    if re.search(_RUNS, said):
        return "syncs:read"
    if re.search(_STATES, said):
        return "syncs:write"
    reads, writes = _SCOPES["/" + path.split("/")[1]]
    if path.endswith("/hooks") or "/hooks/" in path:
        return reads if method == "GET" else writes
    return reads if method == "GET" or (method == "POST" and re.search(_LOOKS, path)) else writes


def routes(client: Client) -> Iterator[tuple[str, str]]:
    """All that there are, of the description."""
    described: dict[str, Any] = client.ask("GET", "/openapi.json").json()
    for path, methods in described["paths"].items():
        for method in methods:
            if path not in _OPEN:
                yield method.upper(), path


def filled(path: str) -> str:
    """The path, with something in place of its parts."""
    return re.sub(r"\{(\w+)\}", lambda found: "7" if found[1] == "number" else "0" * 8, path)


def test_each_route_needs_a_token_with_its_scope(app: App, client: Client) -> None:
    found = list(routes(client))
    assert len(found) > 150
    tokens = {scope: client.token(*(one for one in Permission if one != scope)) for scope in Permission}
    for method, path in found:
        scope = needed(method, path.removeprefix("/api/v1"))
        address = filled(path)
        nobody = client.ask(method, address)
        assert nobody.status_code == 401, (method, path)
        refused = client.ask(method, address, tokens[Permission(scope)])
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing"), (method, path, refused.text)
        assert f'scope="{scope}"' in refused.headers["www-authenticate"], (method, path)
        if not scope.endswith(":read"):
            told = app.audit.find(limit=1)[0]
            assert (told.outcome, told.code, told.name) == ("refused", "scope_missing", address)


@pytest.fixture
def client(app: App) -> Client:
    return Client(app)
