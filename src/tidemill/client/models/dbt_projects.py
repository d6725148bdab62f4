"""What is sent and answered: dbt projects. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import ReasonAnswer


class CloudRunAnswer(Model):
    """A run of dbt Cloud that a webhook told of."""

    told_at: datetime
    account: str
    run: str = pydantic.Field(description="Its id in dbt Cloud.")
    job: str
    status: str
    syncs: list[CloudSyncAnswer]
    note: str = pydantic.Field(description="What came of it.")
    is_done: bool = pydantic.Field(description="false: it is still to be seen to.")


class CloudSyncAnswer(Model):
    """What a run of dbt Cloud meant for a sync."""

    sync: str
    model: str = pydantic.Field(description="Unique id of the model that it delivers.")
    number: int | None = pydantic.Field(description="The run that was triggered; null: none was.")
    reason: str = pydantic.Field(description="Why none was, or which run that one waits for.")


class DbtChangeAnswer(Model):
    """One change of a model in use."""

    code: str
    weight: str = pydantic.Field(description="breaking, notice or harmless.")
    model: str
    column: str
    message: str
    hint: str
    syncs: list[str]


class DbtModelAnswer(Model):
    """A model of a project that stands in the warehouse."""

    unique_id: str
    name: str
    path: str
    description: str
    materialized: str
    relation: str = pydantic.Field(description="project.dataset.table")
    columns: list[str] = pydantic.Field(description="Those that somebody described.")
    keys: list[list[str]] = pydantic.Field(
        description="Columns that the project promises to be unique, the best first."
    )


class DbtProjectAnswer(Model):
    """A dbt project, without its secrets. How it was read the last time is at its status."""

    id: UUID
    name: str
    connection: str | None
    spec: dict[str, Any] = pydantic.Field(description="Where it is.")
    secrets: list[str] = pydantic.Field(description="Names of what is kept secret.")
    made_at: datetime
    made_by: str


class DbtProjectChanges(Wanted):
    """What is to be changed of a dbt project; what is left out stays, null lets go of it."""

    name: str | None = pydantic.Field(default=None, description="Unique name of the project.")
    git: str | None = pydantic.Field(default=None, description="Git repository: https://…, ssh://… or git@host:path.")
    manifest: str | None = pydantic.Field(
        default=None, description="A manifest.json: a path, https://… or gs://bucket/path."
    )
    catalog: str | None = pydantic.Field(
        default=None, description="A catalog.json, which knows columns and types: likewise."
    )
    branch: str | None = pydantic.Field(default=None, description="Branch or tag, if not the repository's own.")
    subfolder: str | None = pydantic.Field(default=None, description="Where in the repository the project is.")
    host_key: str | None = pydantic.Field(default=None, description="Public key of the SSH server, as in known_hosts.")
    token: str | None = pydantic.Field(
        default=None, description="Token for an https:// repository or manifest.", repr=False
    )
    ssh_key: str | None = pydantic.Field(default=None, description="Private key for an ssh:// repository.", repr=False)
    webhook_secret: str | None = pydantic.Field(
        default=None, description="Secret by which a webhook of dbt Cloud is signed.", repr=False
    )
    cloud_host: str | None = pydantic.Field(default=None, description="Host of dbt Cloud: ab123.us1.dbt.com.")
    cloud_token: str | None = pydantic.Field(
        default=None, description="Token that may read runs of dbt Cloud.", repr=False
    )
    connection: str | None = pydantic.Field(
        default=None, description="Connection whose models they are, and that reads gs://."
    )
    dataset: str | None = pydantic.Field(default=None, description="Dataset of dbt's target, if dbt parse must run.")
    variables: dict[str, Any] | None = pydantic.Field(
        default=None, description="Variables for dbt parse, as a JSON object."
    )
    refresh: int | None = pydantic.Field(
        default=None, description="Minutes after which it is read anew, while tidemill serve runs."
    )


class DbtProjectItem(Model):
    """A dbt project in a list."""

    name: str
    project: str = pydantic.Field(description="Its name in dbt.")
    dbt_version: str
    models: int
    used_by: list[str] = pydantic.Field(description="Source models that are made of it.")
    revision: str
    read_at: datetime
    next_at: datetime | None
    error: ReasonAnswer | None = pydantic.Field(description="Why it could not be read the last time.")
    id: UUID
    connection: str | None
    spec: dict[str, Any] = pydantic.Field(description="Where it is.")
    secrets: list[str] = pydantic.Field(description="Names of what is kept secret.")
    made_at: datetime
    made_by: str


class DbtProjectStatus(Model):
    """What is known of a project."""

    name: str
    project: str = pydantic.Field(description="Its name in dbt.")
    dbt_version: str
    models: int
    used_by: list[str] = pydantic.Field(description="Source models that are made of it.")
    revision: str
    read_at: datetime
    next_at: datetime | None
    error: ReasonAnswer | None = pydantic.Field(description="Why it could not be read the last time.")


class DbtProjectWanted(Wanted):
    """A new dbt project: in a Git repository, or known by a manifest at https:// or gs://."""

    name: str = pydantic.Field(description="Unique name of the project.")
    git: str | None = pydantic.Field(default=None, description="Git repository: https://…, ssh://… or git@host:path.")
    manifest: str | None = pydantic.Field(
        default=None, description="A manifest.json: a path, https://… or gs://bucket/path."
    )
    catalog: str | None = pydantic.Field(
        default=None, description="A catalog.json, which knows columns and types: likewise."
    )
    branch: str | None = pydantic.Field(default=None, description="Branch or tag, if not the repository's own.")
    subfolder: str | None = pydantic.Field(default=None, description="Where in the repository the project is.")
    host_key: str | None = pydantic.Field(default=None, description="Public key of the SSH server, as in known_hosts.")
    token: str | None = pydantic.Field(
        default=None, description="Token for an https:// repository or manifest.", repr=False
    )
    ssh_key: str | None = pydantic.Field(default=None, description="Private key for an ssh:// repository.", repr=False)
    webhook_secret: str | None = pydantic.Field(
        default=None, description="Secret by which a webhook of dbt Cloud is signed.", repr=False
    )
    cloud_host: str | None = pydantic.Field(default=None, description="Host of dbt Cloud: ab123.us1.dbt.com.")
    cloud_token: str | None = pydantic.Field(
        default=None, description="Token that may read runs of dbt Cloud.", repr=False
    )
    connection: str | None = pydantic.Field(
        default=None, description="Connection whose models they are, and that reads gs://."
    )
    dataset: str | None = pydantic.Field(default=None, description="Dataset of dbt's target, if dbt parse must run.")
    variables: dict[str, Any] | None = pydantic.Field(
        default=None, description="Variables for dbt parse, as a JSON object."
    )
    refresh: int | None = pydantic.Field(
        default=None, description="Minutes after which it is read anew, while tidemill serve runs."
    )


class RefreshedAnswer(Model):
    """A project that was read anew."""

    project: DbtProjectStatus
    changes: list[DbtChangeAnswer] = pydantic.Field(description="Of models in use, breaking ones first.")
    paused: list[str] = pydantic.Field(description="Syncs that were paused for it.")
