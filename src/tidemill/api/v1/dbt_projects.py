"""dbt projects: where they are, what models they have; read anew when somebody wants it. Secrets are never answered."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, SecretStr

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas, tags
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING, ReasonAnswer, given, reason
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.dbt.service import PROJECT_SORTS, CloudRun, Model, ProjectSpec, ProjectView

router = APIRouter(prefix="/dbt-projects", tags=["dbt_projects"])
_Reader = Annotated[Caller, Depends(caller(Permission.DBT_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.DBT_WRITE))]
_LONG = 2_000


def _secret(name: str) -> Any:
    return schemas.of(ProjectSpec, name, None, max_length=20_000, json_schema_extra={"writeOnly": True}, repr=False)


class DbtProjectChanges(pydantic.BaseModel, extra="forbid"):
    """What is to be changed of a dbt project; what is left out stays, null lets go of it."""

    name: str | None = schemas.of(ProjectSpec, "name", None)
    git: str | None = schemas.of(ProjectSpec, "git", None, max_length=_LONG)
    manifest: str | None = schemas.of(ProjectSpec, "manifest", None, max_length=_LONG)
    catalog: str | None = schemas.of(ProjectSpec, "catalog", None, max_length=_LONG)
    branch: str | None = schemas.of(ProjectSpec, "branch", None)
    subfolder: str | None = schemas.of(ProjectSpec, "subfolder", None, max_length=_LONG)
    host_key: str | None = schemas.of(ProjectSpec, "host_key", None, max_length=20_000)
    token: SecretStr | None = _secret("token")
    ssh_key: SecretStr | None = _secret("ssh_key")
    webhook_secret: SecretStr | None = schemas.of(
        ProjectSpec, "webhook_secret", None, json_schema_extra={"writeOnly": True}, repr=False
    )
    cloud_host: str | None = schemas.of(ProjectSpec, "cloud_host", None)
    cloud_token: SecretStr | None = _secret("cloud_token")
    connection: str | None = schemas.of(ProjectSpec, "connection", None, max_length=100)
    dataset: str | None = schemas.of(ProjectSpec, "dataset", None)
    variables: dict[str, Any] | None = schemas.of(ProjectSpec, "variables", None)
    refresh: int | None = schemas.of(ProjectSpec, "refresh", None)


class DbtProjectWanted(DbtProjectChanges):
    """A new dbt project: in a Git repository, or known by a manifest at https:// or gs://."""

    name: str = schemas.of(ProjectSpec, "name", examples=["shop"])


class DbtProjectAnswer(pydantic.BaseModel):
    """A dbt project, without its secrets. How it was read the last time is at its status."""

    id: uuid.UUID
    name: str
    connection: str | None
    spec: dict[str, Any] = Field(description="Where it is.")
    secrets: list[str] = Field(description="Names of what is kept secret.")
    made_at: dt.datetime
    made_by: str


class DbtProjectStatus(pydantic.BaseModel):
    """What is known of a project."""

    name: str
    project: str = Field(description="Its name in dbt.")
    dbt_version: str
    models: int
    used_by: list[str] = Field(description="Source models that are made of it.")
    revision: str
    read_at: dt.datetime
    next_at: dt.datetime | None
    error: ReasonAnswer | None = Field(description="Why it could not be read the last time.")


class DbtProjectItem(DbtProjectAnswer, DbtProjectStatus):
    """A dbt project in a list."""


class DbtModelAnswer(pydantic.BaseModel):
    """A model of a project that stands in the warehouse."""

    unique_id: str
    name: str
    path: str
    description: str
    materialized: str
    relation: str = Field(description="project.dataset.table")
    columns: list[str] = Field(description="Those that somebody described.")
    keys: list[list[str]] = Field(description="Columns that the project promises to be unique, the best first.")


class DbtChangeAnswer(pydantic.BaseModel, from_attributes=True):
    """One change of a model in use."""

    code: str
    weight: str = Field(description="breaking, notice or harmless.")
    model: str
    column: str
    message: str
    hint: str
    syncs: list[str]


class RefreshedAnswer(pydantic.BaseModel):
    """A project that was read anew."""

    project: DbtProjectStatus
    changes: list[DbtChangeAnswer] = Field(description="Of models in use, breaking ones first.")
    paused: list[str] = Field(description="Syncs that were paused for it.")


class CloudSyncAnswer(pydantic.BaseModel):
    """What a run of dbt Cloud meant for a sync."""

    sync: str
    model: str = Field(description="Unique id of the model that it delivers.")
    number: int | None = Field(description="The run that was triggered; null: none was.")
    reason: str = Field(description="Why none was, or which run that one waits for.")


class CloudRunAnswer(pydantic.BaseModel):
    """A run of dbt Cloud that a webhook told of."""

    told_at: dt.datetime
    account: str
    run: str = Field(description="Its id in dbt Cloud.")
    job: str
    status: str
    syncs: list[CloudSyncAnswer]
    note: str = Field(description="What came of it.")
    is_done: bool = Field(description="false: it is still to be seen to.")


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(PROJECT_SORTS)],
    search: pages.Search = None,
    connection: Annotated[str | None, Query(max_length=100, description="Whose models that connection reads.")] = None,
    failing: Annotated[bool | None, Query(description="Only such as cannot be read; or only the others.")] = None,
) -> Listed[DbtProjectItem]:
    """dbt projects, by name, or as it is asked for."""
    page = by.app.dbt.page(search=search, connection=connection, failing=failing, wanted=wanted)
    return pages.of(page, _item)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING}, dependencies=[SLOWLY])
def create(wanted: DbtProjectWanted, by: _Writer, response: Response) -> DbtProjectAnswer:
    """Save a dbt project. It is read first."""
    made = _answer(by.app.dbt.add(given(wanted), by=by.by))
    response.headers["location"], response.headers["etag"] = schemas.address("dbt-projects", made.name), tags.tag(made)
    return made


@router.get("/{name}", response_model=DbtProjectAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One dbt project."""
    return tags.answer(_answer(by.app.dbt.get(name)), request, response)


@router.get("/{name}/status", responses=problems_of())
def status(name: Name, by: _Reader) -> DbtProjectStatus:
    """What is known of a project, and how it was read the last time."""
    return _status(by.app.dbt.get(name))


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING}, dependencies=[SLOWLY])
def edit(name: Name, changes: DbtProjectChanges, by: _Writer, match: Match, response: Response) -> DbtProjectAnswer:
    """Change a dbt project; it is read anew if it is elsewhere now."""
    match.check(_answer(by.app.dbt.get(name)))
    made = _answer(by.app.dbt.edit(name, given(changes)))
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", status_code=204, responses=CHANGING)
def delete(name: Name, by: _Writer, match: Match) -> None:
    """Delete a dbt project and its secrets. Refused while source models are made of it."""
    match.check(_answer(by.app.dbt.get(name)))
    by.app.dbt.delete(name)


@router.get("/{name}/models", responses=problems_of())
def models(name: Name, by: _Reader, wanted: Wanted) -> Listed[DbtModelAnswer]:
    """Models of a project that stand in the warehouse, by name."""
    made = [_model(one) for one in by.app.dbt.models(name)]
    return pages.of(paging.cut(made, lambda one: f"{one.name} {one.unique_id}", f"dbt-models {name}", wanted), _same)


@router.get("/{name}/cloud-runs", responses=problems_of())
def cloud_runs(
    name: Name, by: _Reader, limit: Annotated[int, Query(ge=1, le=200, description="How many.")] = 20
) -> list[CloudRunAnswer]:
    """Runs of dbt Cloud that a webhook told of, with the syncs that they triggered; newest first."""
    return [_cloud_run(one) for one in by.app.dbt_models.cloud_runs(name, limit)]


@router.post("/{name}/refresh", responses=ACTING, dependencies=[SLOWLY])
def refresh(name: Name, by: _Writer) -> RefreshedAnswer:
    """Read a project anew. Syncs of models that have changed so that they would break are paused."""
    done = by.app.dbt.refresh(name)
    changes = [DbtChangeAnswer.model_validate(one) for one in done.changes]
    return RefreshedAnswer(project=_status(done.project), changes=changes, paused=list(done.paused))


def _same(one: DbtModelAnswer) -> DbtModelAnswer:
    return one


def _answer(found: ProjectView) -> DbtProjectAnswer:
    return DbtProjectAnswer(**{name: getattr(found, name) for name in DbtProjectAnswer.model_fields})


def _status(found: ProjectView) -> DbtProjectStatus:
    fields = {name: getattr(found, name) for name in DbtProjectStatus.model_fields if name != "error"}
    return DbtProjectStatus(**fields, error=reason(found.error))


def _item(found: ProjectView) -> DbtProjectItem:
    return DbtProjectItem(**{**dict(_status(found)), **dict(_answer(found))})


def _model(found: Model) -> DbtModelAnswer:
    return DbtModelAnswer(
        unique_id=found.unique_id,
        name=found.name,
        path=found.path,
        description=found.description,
        materialized=found.materialized,
        relation=str(found.relation),
        columns=[column.name for column in found.columns.values()],
        keys=[list(key) for key in found.keys],
    )


def _cloud_run(found: CloudRun) -> CloudRunAnswer:
    fields = {name: getattr(found, name) for name in CloudRunAnswer.model_fields if name not in {"syncs", "is_done"}}
    syncs = [CloudSyncAnswer(**one) for one in found.syncs]
    return CloudRunAnswer(**fields, syncs=syncs, is_done=found.next_at is None)
