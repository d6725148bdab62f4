"""The application: routes, how errors are told, and the description of all that."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException

from tidemill import __version__
from tidemill.access.hooks import Paces
from tidemill.access.permissions import Permission
from tidemill.api.v1 import (
    audit,
    backfills,
    channels,
    configuration,
    connections,
    dbt,
    dbt_projects,
    destinations,
    event_loads,
    exports,
    health,
    hooks,
    imports,
    keys,
    kinds,
    models,
    once,
    persons,
    problems,
    runs,
    source_models,
    sources,
    stored_events,
    sync_runs,
    syncs,
    tables,
    tokens,
    users,
)
from tidemill.api.v1.access import CHALLENGE
from tidemill.api.v1.bodies import BUG, Guarded
from tidemill.api.v1.events import Watches
from tidemill.api.v1.once import Once
from tidemill.api.v1.problems import Problem, ProblemError, Wrong, problem
from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.app import App

_PREFIX = "/api/v1"
_SAID = {
    400: ("body_not_json", "The body cannot be read as JSON.", "Send JSON, in UTF-8."),
    401: (
        "token_invalid",
        "There is no token, or it is unknown, revoked or expired.",
        "Send Authorization: Bearer TOKEN.",
    ),
    404: ("address_unknown", "There is nothing at this address.", "All addresses: /api/v1/openapi.json"),
    405: ("method_unknown", "This cannot be done here.", "All that can be done: /api/v1/openapi.json"),
}
#: What there is, in the order of the description.
_ROUTERS = (
    *(connections.router, connections.google, connections.egress, exports.router, runs.router, backfills.router),
    *(tables.tables, tables.rejects, tables.every, models.router),
    *(sources.router, source_models.router, destinations.router, kinds.router),
    *(syncs.router, sync_runs.of("sync"), sync_runs.every, imports.router, sync_runs.of("import")),
    *(dbt_projects.router, dbt.router, event_loads.router, stored_events.router, persons.router),
    *(keys.router, tokens.router, users.router, audit.router, channels.router, health.router),
    *(configuration.router, hooks.router),
    hooks.of("export", Permission.EXPORTS_READ, Permission.EXPORTS_WRITE),
    hooks.of("sync", Permission.SYNCS_READ, Permission.SYNCS_WRITE),
)
_WRITING = threading.Lock()
_TAGS = [
    {"name": "connections", "description": "BigQuery projects and datasets, with the credential for each."},
    {"name": "exports", "description": "What goes into BigQuery tables, and when."},
    {"name": "runs", "description": "Runs of exports: what each moved, and how it stands."},
    {"name": "backfills", "description": "Ranges of time that are exported again."},
    {"name": "rejects", "description": "Rows that runs could not deliver, and set aside."},
    {"name": "models", "description": "What can be exported: columns, keys and descriptions."},
    {"name": "sources", "description": "Connections that rows are read from."},
    {"name": "source_models", "description": "Statements and tables, by whose rows syncs and imports go."},
    {"name": "destinations", "description": "Accounts of tools that rows are delivered to, and kinds of them."},
    {"name": "syncs", "description": "Rows of BigQuery that are delivered to other tools."},
    {"name": "imports", "description": "Rows of BigQuery that become people and events here."},
    {"name": "dbt_projects", "description": "dbt projects, whose models can be source models."},
    {"name": "dbt", "description": "dbt projects, for their CI and for dbt Cloud."},
    {"name": "events", "description": "Events of the store, and lines that were set aside."},
    {"name": "event_loads", "description": "Files of events that are sent, and loaded by workers."},
    {"name": "persons", "description": "Who is who."},
    {"name": "keys", "description": "Keys by which SDKs send events."},
    {"name": "tokens", "description": "Tokens by which programs use this API."},
    {"name": "users", "description": "People who use the web app."},
    {"name": "audit", "description": "Who did what."},
    {"name": "channels", "description": "By which people are told what is wrong."},
    {"name": "hooks", "description": "Addresses by which somebody outside has an export or a sync run."},
    {"name": "configuration", "description": "What the installation is set up to do, as code."},
    {"name": "health", "description": "How the installation is."},
]


def application(app: App) -> Guarded:
    """The API of an installation that is open."""
    made = _Described(
        title="Tidemill",
        version=__version__,
        summary="Moves product data into Google BigQuery and back out.",
        openapi_url=None,  # it would be written anew for each who asks
        docs_url=None,  # they would load scripts from somebody else's server
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        openapi_tags=_TAGS,
        generate_unique_id_function=_operation,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours are of runs
    )
    made.state.opened, made.state.watches = app, Watches(app)
    made.state.paces, made.state.files = Paces(), event_loads.Places()
    for router in _ROUTERS:
        made.include_router(router, prefix=_PREFIX)
    made.add_route(f"{_PREFIX}/openapi.json", made.described, include_in_schema=False)
    made.add_exception_handler(TidemillError, _of_ours)
    made.add_exception_handler(ProblemError, _of_request)
    made.add_exception_handler(RequestValidationError, _invalid)
    made.add_exception_handler(StarletteHTTPException, _refused)
    made.add_exception_handler(Exception, _bug)
    return Guarded(Once(made, app), app.settings.capture_body_seconds)


def _operation(route: APIRoute) -> str:
    """The name of an operation, by which generated clients call it: exports_create."""
    return f"{route.tags[0]}_{route.name}".strip("_")


class _Described(FastAPI):
    """Problems are described as what they are; and the description is written once."""

    _written: bytes | None = None

    def described(self, _request: Request) -> Response:
        """The description. It takes a second to be made."""
        with _WRITING:
            if self._written is None:
                self._written = json.dumps(self.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        return Response(self._written, media_type="application/json")

    def openapi(self) -> dict[str, Any]:
        """See FastAPI."""
        if self.openapi_schema is None:
            made = super().openapi()
            for path in made["paths"].values():
                for method, operation in path.items():
                    _describe(method, operation)
            # Names of classes in clients that are generated: BackfillAnswerPage.
            text = _TWICE.sub(_of_module, _LISTED.sub(r"\1Page", json.dumps(made)))
            self.openapi_schema = json.loads(text)
        assert self.openapi_schema is not None  # noqa: S101 - it was made
        return self.openapi_schema


#: How pydantic calls a page of a list: by its name, and by its title.
_LISTED = re.compile(r'\bListed(?:_|\[)(\w+?)(?:_|\])(?=")')
#: How it calls those whose names are those of others, too: by their modules.
_TWICE = re.compile(r"tidemill(?:__\w+?)*__(\w+?)__([A-Za-z0-9]+)\b")


def _of_module(found: re.Match[str]) -> str:
    """The name of one of these: PortMode."""
    return f"{found[1].rpartition('__')[2].capitalize()}{found[2]}"


def _describe(method: str, operation: dict[str, Any]) -> None:
    """Say of an operation what is so of all."""
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            response["content"] = {problems.KIND: response["content"].pop("application/json")}
    known = [one["name"].lower() for one in operation.get("parameters", ())]
    is_file = "application/octet-stream" in operation.get("requestBody", {}).get("content", {})
    if method == "post" and once.HEADER.lower() not in known and "security" in operation and not is_file:
        operation.setdefault("parameters", []).append(once.PARAMETER)


def _bug(_request: Request, _error: Exception) -> Response:
    """It is logged by who is asked first."""
    return _told(BUG)


def _told(found: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(problems.written(found), found.status, headers, problems.KIND)


def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, TidemillError)  # noqa: S101 - it is registered for that
    found, headers = problems.of(error)
    if found.status == 403:
        scope = error.raw or request.state.permission  # a service may want more than the route
        headers["www-authenticate"] = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return _told(found, headers)


def _of_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - it is registered for that
    return _told(error.problem, error.headers)


def _invalid(_request: Request, error: Exception) -> Response:
    """What was sent is not repeated: it may be secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for that
    errors = [Wrong(where=".".join(str(part) for part in item["loc"]), message=item["msg"]) for item in error.errors()]
    said = "; ".join(f"{one.where}: {one.message}" for one in errors)
    return _told(problem(422, "request_invalid", said, "What is expected: /api/v1/openapi.json", errors))


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException | StarletteHTTPException)  # noqa: S101 - it is registered for that
    code, detail, hint = _SAID.get(error.status_code, ("request_refused", str(error.detail), ""))
    return _told(problem(error.status_code, code, detail, hint), dict(error.headers or {}))
