"""Requests for each route of the HTTP API, made of its description: one that is meant, and others that are like it but
for a text. Whoever asks does so in one event loop, as one program does."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import itertools
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Self

import httpx
from tests.api_client import Client
from tests.installation import CONNECTION
from tests.stocked import EXPORT, HOOK, Stocked

Schema = Mapping[str, Any]
#: A part of a request that is a text: path, query or body, and where in that.
Place = tuple[str, ...]
ANY = {"if-match": "*"}
#: Routes that go on for ever, and what lets in by a secret in the address.
STREAMS = "/events"
_NAMES = itertools.count()
#: What fields are given that name something else, or are of a form of their own.
_KNOWN: Mapping[str, Any] = {
    "connection": CONNECTION,
    "model": "people",
    "destination": HOOK,
    "distinct_id": "user-1",
    "since": "1d",
    "project": "acme-123456",
    "account": "robot@acme-123456.iam.gserviceaccount.com",
    "sort": None,
    "impersonate": None,
    "max_bytes_billed": "20GB",
    "relation": "acme-123456.shop.people",
    "time_from": "2026-01-01",
    "time_to": "2026-01-02",
    "action": None,
    "interval": "none",
    "password": "salt lamp otter nine",
    "scopes": ["health:read"],
    "mapping": {"n": {"@path": "$.id"}},
    "causes": ["failed"],
    "how": "leave",
    "key": ["id"],
}


@dataclasses.dataclass(frozen=True)
class Request:
    """One. `route`: its operation, as METHOD and the path of the description."""

    route: str
    method: str
    path: str
    query: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    body: Any = None

    @property
    def group(self) -> str:
        """The first part of its path."""
        return self.route.split("/")[3]

    def places(self) -> Iterator[Place]:
        """All that is a text in it."""
        for number, part in enumerate(self.route.split(" ", 1)[1].split("/")):
            if part.startswith("{"):
                yield "path", str(number)
        for name, value in self.query.items():
            if isinstance(value, str):
                yield "query", name
        yield from (("body", *where) for where in _texts(self.body))

    def with_text(self, place: Place, text: str) -> Request:
        """The same, with another text there."""
        kind, *where = place
        if kind == "path":
            parts = self.path.split("/")
            parts[int(where[0])] = urllib.parse.quote(text, safe="")
            return dataclasses.replace(self, path="/".join(parts))
        if kind == "query":
            return dataclasses.replace(self, query={**self.query, where[0]: text})
        body = copy.deepcopy(self.body)
        inner = body
        for part in where[:-1]:
            inner = inner[int(part) if isinstance(inner, list) else part]
        inner[int(where[-1]) if isinstance(inner, list) else where[-1]] = text
        return dataclasses.replace(self, body=body)


def _texts(value: Any) -> Iterator[Place]:
    found = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in found:
        if isinstance(inner, str):
            yield (str(name),)
        else:
            yield from ((str(name), *rest) for rest in _texts(inner))


class Requests:
    """Makes them. `made.run` and the like are in their paths."""

    def __init__(self, described: Schema, made: Stocked) -> None:
        self._described, self._made = described, made
        self._schemas = described["components"]["schemas"]

    def all(self) -> list[Request]:
        """One for each route, GETs first, and what deletes something last."""
        found = [
            self._request(method, path, operation)
            for path, methods in self._described["paths"].items()
            for method, operation in methods.items()
        ]
        order = ("GET", "POST", "PUT", "PATCH", "DELETE")
        return sorted(found, key=lambda request: order.index(request.method))

    def _request(self, method: str, path: str, operation: Schema) -> Request:
        parameters, group = operation.get("parameters", ()), path.split("/")[3]
        query = {
            one["name"]: self.example(one["schema"], one["name"])
            for one in parameters
            if one["in"] == "query"
            and one["name"] != "cursor"
            and (one.get("required") or self._is_text(one["schema"]))
        }
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        body: Any = self._body(content["schema"], f"{method.upper()} {path}") if content else None
        if method == "patch" and "name" in body:  # it keeps the one that it has
            body["name"] = self._made.names[group]
        return Request(f"{method.upper()} {path}", method.upper(), self._address(path, group), query, body)

    def _address(self, path: str, group: str) -> str:
        made = self._made
        values = {
            "{name}": made.names.get(group, ""),
            "{run}": str(made.run),
            "{number}": "1",
            "{secret}": made.hook,
            "{start}": made.hook[:12],
            "{trigger}": str(made.run),
            "{backfill}": str(made.run),
            "{operation}": str(made.run),
            "{load_id}": str(made.run),
        }
        return "/".join(urllib.parse.quote(values.get(part, part), safe="") for part in path.split("/"))

    def _body(self, schema: Schema, route: str) -> Any:
        body = self.example(schema, "")
        if isinstance(body, dict):
            own = _OWN.get(route.replace("/api/v1", ""), {})
            body = own if route.startswith("PUT") else {**body, **own}
            if "sql" in body and "table" in body:
                del body["sql"]
        return body

    def _is_text(self, schema: Schema) -> bool:
        chosen = self._resolved(schema)
        return chosen.get("type") == "string" and "enum" not in chosen and "format" not in chosen

    def _resolved(self, schema: Schema) -> Schema:
        while True:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                schema = next(one for one in choices if one.get("type") != "null")
            else:
                return schema

    def example(self, schema: Schema, name: str) -> Any:
        """Something that the schema allows, of which much is given."""
        if name in _KNOWN:
            return _KNOWN[name]
        schema = self._resolved(schema)
        for one in ("const", "default"):
            if schema.get(one) is not None:
                return schema[one]
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return [self.example(schema.get("items", {}), name.removesuffix("s"))]
            case "integer" | "number":
                return max(schema.get("minimum", 1), 1)
            case "boolean":
                return False
        return self._text(schema, name)

    def _object(self, schema: Schema) -> dict[str, Any]:
        needed = set(schema.get("required", ()))
        found = {
            name: self.example(one, name)
            for name, one in schema.get("properties", {}).items()
            if name in needed or self._is_text(one)
        }
        return {name: value for name, value in found.items() if value is not None}

    @staticmethod
    def _text(schema: Schema, name: str) -> str:
        match schema.get("format"):
            case "uuid":
                return "00000000-0000-7000-8000-000000000001"
            case "date-time":
                return "2026-01-01T00:00:00Z"
            case "date":
                return "2026-01-01"
        if name == "name":
            return f"made {next(_NAMES)}"
        if "A-Fa-f" in (pattern := schema.get("pattern", "")):
            return "0" * (36 if "{36}" in pattern else max(1, schema.get("minLength", 1)))
        return "made"


#: What the description alone does not say.
_CONNECTION = {"dataset": "other", "project": "acme-123456", "adc": True}
_WEBHOOK = {"kind": "webhook", "settings": {"url": "http://127.0.0.1:1/hook", "token": "made"}}
_OWN: Mapping[str, dict[str, Any]] = {
    "POST /connections": _CONNECTION,
    "POST /connections/test": _CONNECTION,
    "PATCH /connections/{name}": {},
    "POST /exports": {"model": "events", "table": "made", "cluster_by": ["event"], "include_events": ["made"]},
    "POST /source-models": {"sql": "SELECT 1 AS id"},
    "POST /destinations": _WEBHOOK,
    "POST /destinations/test": _WEBHOOK,
    "PATCH /destinations/{name}": {"settings": {"token": "made"}},
    "POST /channels": {"kind": "slack", "settings": {"url": "https://example.com/made"}, "exports": [EXPORT]},
    "PATCH /channels/{name}": {"settings": {}, "exports": [EXPORT]},
    "POST /imports": {"model": "people"},
    "PUT /imports/{name}/mapping": {"kind": "people", "identity": "email", "skipped": ["id", "plan"]},
    "POST /dbt-projects": {"manifest": "http://127.0.0.1:1/manifest.json"},
    "PATCH /users/{name}": {"role": "viewer"},
    "POST /syncs/{name}/test": {"key": "1"},
    "POST /imports/{name}/rejects/repair": {"rows": [{"key": "1", "row": {"id": 1, "email": "made"}}]},
}


class Asking:
    """Asks an API. Whatever it is answered is kept in `said`."""

    def __init__(self, client: Client) -> None:
        self._runner, self.said = asyncio.Runner(), client.said
        transport = httpx.ASGITransport(client.guarded)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://here")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def __call__(self, request: Request, token: str | None, **headers: str) -> httpx.Response:
        """An answer. What changes something is let do so, whatever it was before."""
        given = {**ANY, **({"authorization": f"Bearer {token}"} if token is not None else {}), **headers}
        query = {name: value for name, value in request.query.items() if value is not None}
        content = None if request.body is None else json.dumps(request.body).encode()  # also of a lone surrogate
        kind = {} if content is None else {"content-type": "application/json"}
        asked = self._client.request(
            request.method, request.path, params=query, headers={**kind, **given}, content=content
        )
        answer = self._runner.run(asked)
        self.said.append(answer.text + str(answer.headers))
        return answer
