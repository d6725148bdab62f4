"""What is sent and answered: models. Written by tests/client_writer.py."""

from __future__ import annotations

import pydantic

from tidemill.client.core import Model


class ModelAnswer(Model):
    """A model."""

    name: str
    title: str
    description: str


class ModelColumnAnswer(Model):
    """A column of a model."""

    name: str
    type: str = pydantic.Field(description="BigQuery's.")
    description: str
    may_be_json: bool = pydantic.Field(description="It is of type STRING or JSON, by choice: json_type.")
    repeated: bool


class WholeModelAnswer(Model):
    """A model, with how its table is laid out if nothing else is said."""

    name: str
    title: str
    description: str
    columns: list[ModelColumnAnswer]
    key: list[str]
    versions: list[str] = pydantic.Field(
        description="The row with the greatest of these stays; none: rows never change."
    )
    partition_by: str | None
    cluster_by: list[str]
    table: str
    json_type: bool
