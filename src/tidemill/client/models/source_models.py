"""What is sent and answered: source models. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class KeysAnswer(Model):
    """Whether each row has a key of its own."""

    good: bool = pydantic.Field(description="No row would be set aside.")
    rows: int
    null_rows: int = pydantic.Field(description="Rows with a NULL in the key.")
    duplicate_keys: int = pydantic.Field(description="Keys of more than one row.")
    duplicate_rows: int = pydantic.Field(description="Rows with such a key.")
    examples: list[dict[str, Any]]
    bytes_billed: int


class SourceModelAnswer(Model):
    """A source model."""

    id: UUID
    name: str
    connection: str
    sql: str | None
    table: str | None
    key: list[str]
    description: str
    max_bytes_billed: int | None
    dbt: str | None = pydantic.Field(description="Unique id of the model of a dbt project that it is made of.")
    syncs: list[str] = pydantic.Field(description="What delivers its rows.")
    made_at: datetime
    made_by: str
    updated_at: datetime


class SourceModelChanges(Wanted):
    """What is to be changed of a source model; what is left out stays."""

    name: str | None = pydantic.Field(default=None, description="Unique name of the model.")
    sql: str | None = pydantic.Field(default=None, description="One SELECT statement.")
    table: str | None = pydantic.Field(
        default=None, description="A table or view: dataset.table, or project.dataset.table."
    )
    key: list[str] | None = pydantic.Field(default=None, description="Columns by which a row is known.")
    description: str | None = pydantic.Field(default=None, description="What it is.")
    max_bytes_billed: str | int | None = pydantic.Field(
        default=None,
        description="A run that would be billed for more bytes does not start: 20GB, a number; none: no limit.",
    )


class SourceModelWanted(Wanted):
    """A new source model: a statement, a table, or a model of a dbt project."""

    name: str = pydantic.Field(description="Unique name of the model.")
    sql: str | None = pydantic.Field(default=None, description="One SELECT statement.")
    table: str | None = pydantic.Field(
        default=None, description="A table or view: dataset.table, or project.dataset.table."
    )
    key: list[str] | None = pydantic.Field(default=None, description="Columns by which a row is known.")
    description: str | None = pydantic.Field(default=None, description="What it is.")
    max_bytes_billed: str | int | None = pydantic.Field(
        default=None,
        description="A run that would be billed for more bytes does not start: 20GB, a number; none: no limit.",
    )
    connection: str = pydantic.Field(description="Name of a connection that is a source.")
    dbt: str | None = pydantic.Field(default=None, description="A model of a dbt project: PROJECT/MODEL.")
