"""The configuration as code: what the installation is set up to do, as YAML; what would change, and the change.

Who asks needs the scopes by which each change could be made by itself, and nothing is begun if one is missing. Nothing
of the server's environment or disk is read: see configuration/origins.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1.access import Caller, assert_may, caller
from tidemill.api.v1.bodies import MOST_CONFIGURATION_BYTES
from tidemill.api.v1.problems import ProblemError, Wrong, problem, problems_of
from tidemill.api.v1.shared import WRITING, ReasonAnswer
from tidemill.api.v1.turns import SLOWLY
from tidemill.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from tidemill.configuration.service import Applied, Configuration, Plan

router = APIRouter(prefix="/configuration", tags=["configuration"])
YAML = "application/yaml"
_READS = (
    *(Permission.CONNECTIONS_READ, Permission.DBT_READ, Permission.MODELS_READ, Permission.DESTINATIONS_READ),
    *(Permission.EXPORTS_READ, Permission.SYNCS_READ, Permission.IMPORTS_READ, Permission.CHANNELS_READ),
)
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "YAML, in UTF-8.", "content": {YAML: {"schema": {"type": "object"}}}}
}
_SCHEMA: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JSON Schema.", "content": {"application/schema+json": {"schema": {"type": "object"}}}}
}
_HINT = "What may be written: GET /api/v1/configuration/schema"
_FileName = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]
_SecretName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]


def _reading(request: Request, by: Annotated[Caller, Depends(caller(Permission.CONNECTIONS_READ))]) -> Caller:
    """Who may see all that a configuration has."""
    assert_may(by, request, _READS)
    return by


_Reader = Annotated[Caller, Depends(_reading)]


class ConfigurationWanted(pydantic.BaseModel, extra="forbid"):
    """A configuration, as it is to be."""

    files: dict[_FileName, str] = Field(
        min_length=1,
        max_length=1_000,
        description="Its files: the text of each, by a name for it. "
        f"With all else that is sent, {MOST_CONFIGURATION_BYTES:,} bytes at most.",
    )
    secrets: dict[_SecretName, pydantic.SecretStr] = Field(
        default={},
        max_length=1_000,
        json_schema_extra={"writeOnly": True},
        description="Secrets, each by the name to which the files refer: {env: NAME}. "
        "What is not among them stays as it is. No variable and no file of the server is read.",
    )
    prune: pydantic.StrictBool = Field(
        default=False, description="Delete what the files do not have, of the sections that they have."
    )


class ApplyWanted(ConfigurationWanted):
    """A configuration that is to be made true."""

    plan: str = Field(min_length=1, max_length=100, description="The id of the plan that was looked at.")
    test: pydantic.StrictBool = Field(default=True, description="Test credentials before they are saved.")
    reset: Literal["resend", "leave"] | None = Field(
        default=None, description="Where a mapping changes: send all rows again; or leave what was sent as it is."
    )


class FieldAnswer(pydantic.BaseModel, from_attributes=True):
    """A field that changes. Of a secret it is said that it is one."""

    name: str
    before: Any
    after: Any


class NamedAnswer(pydantic.BaseModel):
    """What is done with a thing."""

    act: str = Field(description="create, change or delete.")
    kind: str = Field(description="export, sync, source model and so on.")
    name: str


class PlanStepAnswer(NamedAnswer):
    """What would be done with a thing, field by field."""

    fields: list[FieldAnswer]


class PlanCountsAnswer(pydantic.BaseModel):
    """How many things are so."""

    create: int
    change: int
    delete: int
    unchanged: int = Field(description="They are as the files have them.")
    others: int = Field(description="The files do not have them, and they stay.")


class PlanAnswer(pydantic.BaseModel):
    """What would be done, in the order in which it is."""

    id: str = Field(description="The same steps have the same. It is sent with `apply`.")
    steps: list[PlanStepAnswer]
    counts: PlanCountsAnswer
    resets: list[str] = Field(description="Syncs and imports that have run, and whose mapping changes: say `reset`.")
    scopes: list[str] = Field(description="What it takes to apply it.")


class AppliedAnswer(pydantic.BaseModel):
    """What was done. It stops at the first that fails; applied again, it goes on there."""

    done: list[NamedAnswer]
    failed: NamedAnswer | None = Field(description="The step that was not done.")
    not_done: list[NamedAnswer] = Field(description="Those that would have come after it.")
    error: ReasonAnswer | None = Field(description="Why it stopped; null: all is done.")


@router.get("", response_class=Response, responses={**_TEXT, **problems_of()}, dependencies=[SLOWLY])
def export(by: _Reader) -> Response:
    """What the installation is set up to do. In place of secrets stand names for them."""
    from tidemill.configuration.service import Configuration  # megabytes, that few need

    return Response(Configuration(by.app).text(), media_type=YAML)


@router.get("/schema", response_class=Response, responses={**_SCHEMA, **problems_of()})
def schema(by: Annotated[Caller, Depends(caller(Permission.CONNECTIONS_READ))]) -> Response:  # noqa: ARG001
    """The JSON Schema of a file, for editors."""
    from tidemill.configuration import service

    return Response(json.dumps(service.schema()), media_type="application/schema+json")


@router.post("/plan", responses=problems_of(400, 408, 409, 413, 415), dependencies=[SLOWLY])
def plan(wanted: ConfigurationWanted, by: _Reader) -> PlanAnswer:
    """What would be made, changed and deleted so that the installation is as files say. Nothing is changed."""
    found = _planned(_configuration(by, wanted), wanted)
    return PlanAnswer.model_validate({**found.described(), "scopes": sorted(found.permissions)})


@router.post("/apply", responses=WRITING, dependencies=[SLOWLY])
def apply(wanted: ApplyWanted, by: _Reader, request: Request) -> AppliedAnswer:
    """Make, change and delete what the plan with that id says, if it is that still. It may take minutes: send an
    Idempotency-Key, and the same call again is answered the same."""
    configuration = _configuration(by, wanted)
    found = _planned(configuration, wanted)
    if found.id != wanted.plan:
        said = f"The plan is another one now: {found.id}, and not {wanted.plan}."
        raise ConflictError("plan_outdated", said, hint="The files or the installation have changed. Plan anew.")
    assert_may(by, request, found.permissions)
    if found.resets and wanted.reset is None:
        said = f"A new mapping changes what is sent of rows that are delivered already: {', '.join(found.resets)}."
        raise ConfigError("mapping_changed", said, hint="Say reset: resend sends them all again, leave leaves them.")
    applied = configuration.apply(found, by=by.by, test=wanted.test, reset=wanted.reset)
    if applied.error is not None and not applied.done:
        raise applied.error
    return _answer(applied)


def _configuration(by: Caller, wanted: ConfigurationWanted) -> Configuration:
    from tidemill.configuration.service import Configuration, Outside

    return Configuration(by.app, Outside(wanted.secrets))


def _planned(configuration: Configuration, wanted: ConfigurationWanted) -> Plan:
    """The plan; a problem that says where in the files something is wrong, if it is."""
    from tidemill.configuration import service

    texts = [service.Text(name, text, Path("/")) for name, text in sorted(wanted.files.items())]
    try:
        return configuration.plan(texts, prune=wanted.prune)
    except service.InvalidError as error:
        wrong = [
            Wrong(where=one.at.file, message=one.said, line=one.at.line, column=one.at.column) for one in error.problems
        ]
        raise ProblemError(problem(422, error.code, error.title, f"Correct the files. {_HINT}", wrong)) from None


def _answer(applied: Applied) -> AppliedAnswer:
    return AppliedAnswer.model_validate(applied.described())
