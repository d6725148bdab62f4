"""What is sent and answered: connections. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import StepAnswer


class CommandsAnswer(Model):
    """Commands that belong together."""

    title: str
    text: str


class ConnectionAnswer(Model):
    """A connection, without its secret."""

    id: UUID
    name: str
    project: str
    dataset: str
    location: str | None = pydantic.Field(description="Where the dataset is; null: that could not be asked yet.")
    credential: str = pydantic.Field(description="In words, how it signs in.")
    account: str | None = pydantic.Field(description="The service account, by its e-mail address.")
    connected_at: datetime
    connected_by: str
    updated_at: datetime
    deleting_at: datetime | None = pydantic.Field(
        description="Since when it is being deleted: nothing new is begun on it."
    )
    deleting_by: str | None


class ConnectionChanges(Wanted):
    """What is to be changed of a connection; what is left out stays."""

    name: str | None = pydantic.Field(default=None, description="A new name.")
    dataset: str | None = pydantic.Field(default=None, description="Another dataset.")
    project: str | None = pydantic.Field(default=None, description="Another project.")
    location: str | None = pydantic.Field(default=None, description="Location of the dataset, read from it.")
    key: str | dict[str, Any] | None = pydantic.Field(
        default=None,
        description="The service account key: the JSON file's content, as an object or as a text. It "
        "is never answered.",
        repr=False,
    )
    adc: bool | None = pydantic.Field(default=None, description="Application Default Credentials of this machine.")
    impersonate: str | None = pydantic.Field(default=None, description="Service account to act as.")


class ConnectionCreate(Wanted):
    """A new connection, as it is saved."""

    name: str = pydantic.Field(description="Unique name of the connection.")
    dataset: str = pydantic.Field(description="Dataset id; or project.dataset.")
    project: str | None = pydantic.Field(default=None, description="Google Cloud project id; else the key's.")
    location: str | None = pydantic.Field(default=None, description="Location of the dataset, read from it.")
    key: str | dict[str, Any] | None = pydantic.Field(
        default=None,
        description="The service account key: the JSON file's content, as an object or as a text. It "
        "is never answered.",
        repr=False,
    )
    adc: bool = pydantic.Field(default=False, description="Application Default Credentials of this machine.")
    impersonate: str | None = pydantic.Field(default=None, description="Service account to act as.")
    create_dataset: bool = pydantic.Field(
        default=False, description="Make the dataset, at the location, if there is none."
    )


class ConnectionItem(Model):
    """A connection in a list."""

    id: UUID
    name: str
    project: str
    dataset: str
    location: str | None = pydantic.Field(description="Where the dataset is; null: that could not be asked yet.")
    credential: str = pydantic.Field(description="In words, how it signs in.")
    account: str | None = pydantic.Field(description="The service account, by its e-mail address.")
    connected_at: datetime
    connected_by: str
    updated_at: datetime
    deleting_at: datetime | None = pydantic.Field(
        description="Since when it is being deleted: nothing new is begun on it."
    )
    deleting_by: str | None
    status: StandingAnswer
    used_by: dict[str, int] = pydantic.Field(
        description="How many of each kind use it: export, stream, sync, import, model, dbt project."
    )


class ConnectionStatus(Model):
    """How a connection stands, and what is known of it."""

    state: str = pydantic.Field(description="untested: nothing is known since it was made, or became another one.")
    at: datetime | None = pydantic.Field(description="When that was seen last.")
    message: str = pydantic.Field(description="By what; or what is wrong.")
    hint: str = pydantic.Field(description="What to do.")
    test: ConnectionTestAnswer | None = pydantic.Field(description="The last; null: it was not tested.")
    succeeded_at: datetime | None = pydantic.Field(description="When something that used it last went well.")
    failure: FailureAnswer | None = pydantic.Field(description="The newest of what has not gone well since.")


class ConnectionTestAnswer(Model):
    """The last test of a connection."""

    at: datetime
    use: str
    passed: bool
    steps: list[StepAnswer]


class ConnectionWanted(Wanted):
    """A new connection: with a service account key, or with the credentials of the server's machine."""

    name: str = pydantic.Field(description="Unique name of the connection.")
    dataset: str = pydantic.Field(description="Dataset id; or project.dataset.")
    project: str | None = pydantic.Field(default=None, description="Google Cloud project id; else the key's.")
    location: str | None = pydantic.Field(default=None, description="Location of the dataset, read from it.")
    key: str | dict[str, Any] | None = pydantic.Field(
        default=None,
        description="The service account key: the JSON file's content, as an object or as a text. It "
        "is never answered.",
        repr=False,
    )
    adc: bool = pydantic.Field(default=False, description="Application Default Credentials of this machine.")
    impersonate: str | None = pydantic.Field(default=None, description="Service account to act as.")


class DatasetAnswer(Model):
    """A dataset that the account of a connection may see."""

    name: str
    location: str


class DeletedAnswer(Model):
    """What was deleted."""

    connection: str
    uses: list[UseAnswer] = pydantic.Field(description="What was deleted with it.")
    remarks: list[str] = pydantic.Field(description="What is to be known of that.")


class EgressAnswer(Model):
    """From where this installation reaches others."""

    networks: list[str] = pydantic.Field(description="Addresses and networks; empty: it is not said.")
    commands: list[str] = pydantic.Field(description="What lets them through a perimeter of VPC Service Controls.")


class FailureAnswer(Model):
    """What used a connection, and failed because of it."""

    kind: str = pydantic.Field(description="export, stream, sync or import.")
    name: str
    at: datetime
    code: str
    message: str
    hint: str


class GoogleSetUpAnswer(Model):
    """What is to be set up on Google's side, in one of three ways."""

    commands: list[CommandsAnswer]
    console: list[str] = pydantic.Field(description="Steps in Google's console.")
    terraform: str


class SetUpAnswer(Model):
    """What is to be granted on Google's side, and nothing else."""

    commands: list[str] = pydantic.Field(description="Commands, and statements for BigQuery, in order.")
    allow_list: list[str] = pydantic.Field(
        description="Commands that let this server through VPC Service Controls; if known."
    )


class StandingAnswer(Model):
    """How a connection stands: by its last test, and by what used it since."""

    state: str = pydantic.Field(description="untested: nothing is known since it was made, or became another one.")
    at: datetime | None = pydantic.Field(description="When that was seen last.")
    message: str = pydantic.Field(description="By what; or what is wrong.")
    hint: str = pydantic.Field(description="What to do.")


class UseAnswer(Model):
    """Something that uses a connection."""

    kind: str
    name: str
    at_work: list[str] = pydantic.Field(description="What of it runs now, or did when its process ended.")
