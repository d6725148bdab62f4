"""Checks requests against BigQuery's discovery document: is there such a method, are its parameters and body right?

`problems` takes a request as the embedded BigQuery logs it (`method`, `path`, `query`, `body`) and gives what is wrong
with it, in words; an empty list means that Google knows every part of it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DOCUMENT = Path(__file__).parent / "data" / "bigquery.v2.json"
#: Query parameters of Google's upload protocols, which the document does not list.
_UPLOAD_PARAMETERS = frozenset({"uploadType", "upload_id"})
#: What Google's own Python client sends and Google takes, though the document does not list it.
_CLIENT_PARAMETERS = {"bigquery.jobs.get": {"projection"}, "bigquery.jobs.cancel": {"projection"}}
_NUMBER = re.compile(r"-?\d+")


def problems(request: Mapping[str, Any]) -> list[str]:
    """What is wrong with a logged request. Requests that are not BigQuery's (sign-in, our own) have no problems."""
    path = str(request["path"])
    upload = "/upload/" in path
    short = re.sub(r"^/(resumable/)?(upload/)?bigquery/v2/", "", path)
    if short == path:
        return []
    found = [method for method in _methods() if method["httpMethod"] == request["method"] and _matches(method, short)]
    if upload:
        # The pieces of a resumable upload are PUT to the address of a method that is POST.
        found = [m for m in _methods() if m.get("supportsMediaUpload") and _matches(m, short)]
        if request["method"] not in {"POST", "PUT"}:
            found = []
    if not found:
        return [f"no method of BigQuery is {request['method']} {path}"]
    method = found[0]
    said = list(_parameters(method, request.get("query") or {}, upload=upload))
    body = request.get("body")
    if body:
        if "request" in method:
            said += _object(method["request"]["$ref"], body, "body")
        else:
            said.append(f"{method['id']} takes no body")
    return said


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_DOCUMENT.read_text())
    return document


@functools.cache
def _methods() -> tuple[dict[str, Any], ...]:
    def walk(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for resource in resources.values():
            yield from resource.get("methods", {}).values()
            yield from walk(resource.get("resources", {}))

    return tuple(walk(_document()["resources"]))


def _matches(method: dict[str, Any], short: str) -> bool:
    """Whether a path is of the method's template; `{+name}` may hold slashes only if its pattern says so."""
    pattern = ""
    for literal, name in re.findall(r"([^{]*)(?:\{\+?(\w+)\})?", method["path"]):
        pattern += re.escape(literal)
        if name:
            given = method["parameters"][name].get("pattern", "^[^/]+$")
            pattern += f"(?:{given.removeprefix('^').removesuffix('$')})"
    return re.fullmatch(pattern, short) is not None


def _parameters(method: dict[str, Any], query: Mapping[str, Any], *, upload: bool) -> Iterator[str]:
    known = {**_document()["parameters"], **method.get("parameters", {})}
    for name, value in query.items():
        if (upload and name in _UPLOAD_PARAMETERS) or name in _CLIENT_PARAMETERS.get(method["id"], ()):
            continue
        parameter = known.get(name)
        if parameter is None or parameter.get("location") != "query":
            yield f"{method['id']} has no parameter {name}"
        elif problem := _text_problem(parameter, str(value)):
            yield f"parameter {name}: {problem}"
    for name, parameter in method.get("parameters", {}).items():
        if parameter.get("required") and parameter["location"] == "query" and name not in query:
            yield f"{method['id']} needs the parameter {name}"


def _text_problem(schema: dict[str, Any], value: str) -> str | None:
    """What is wrong with a query parameter, which always comes as text."""
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is none of {schema['enum']}"
    if schema.get("type") == "integer" and not _NUMBER.fullmatch(value):
        return f"{value!r} is no integer"
    if schema.get("type") == "boolean" and value.lower() not in {"true", "false"}:
        return f"{value!r} is no boolean"
    return None


def _object(reference: str, value: Any, where: str) -> list[str]:
    """What is wrong with a value of a named schema of the document."""
    schema = _document()["schemas"][reference]
    if schema.get("type") == "any":
        return []
    if not isinstance(value, dict):
        return _value(schema, value, where)
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    said = []
    for name, inner in value.items():
        if name in known or rest is not None:
            said += _value(known.get(name, rest), inner, f"{where}.{name}")
        else:
            said.append(f"{where}: {reference} has no property {name}")
    return said


def _value(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    """What is wrong with a value in a body. JSON null clears a property, so it is right everywhere."""
    if value is None or schema.get("type") == "any":
        return []
    if "$ref" in schema:
        return _object(schema["$ref"], value, where)
    kind = schema.get("type")
    if kind == "array":
        if not isinstance(value, list):
            return [f"{where}: a list is expected, not {value!r}"]
        return [
            said for index, inner in enumerate(value) for said in _value(schema["items"], inner, f"{where}[{index}]")
        ]
    if kind == "object":
        return _inline(schema, value, where)
    return [] if _scalar(schema, value) else [f"{where}: {value!r} is no {schema.get('format') or kind}"]


def _inline(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: an object is expected, not {value!r}"]
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    said = []
    for name, inner in value.items():
        if name in known or rest is not None:
            said += _value(known.get(name, rest), inner, f"{where}.{name}")
        elif known:
            said.append(f"{where} has no property {name}")
    return said


def _scalar(schema: dict[str, Any], value: Any) -> bool:
    """Google's JSON takes 64-bit integers as text or as numbers, and gives them as text."""
    kind, form = schema.get("type"), schema.get("format")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if form in {"int64", "uint64"}:
        return whole or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
    if kind == "string":
        return isinstance(value, str) and ("enum" not in schema or value in schema["enum"])
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return whole
    return whole or isinstance(value, float)
