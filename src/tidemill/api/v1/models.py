"""Models of exports: what can be exported, with its columns and their descriptions."""

from __future__ import annotations

from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.models import registry
from tidemill.models.model import Model

router = APIRouter(prefix="/export-models", tags=["models"])
_Reader = Annotated[Caller, Depends(caller(Permission.EXPORTS_READ))]


class ModelAnswer(pydantic.BaseModel, from_attributes=True):
    """A model."""

    name: str
    title: str
    description: str


class ModelColumnAnswer(pydantic.BaseModel):
    """A column of a model."""

    name: str
    type: str = Field(description="BigQuery's.")
    description: str
    may_be_json: bool = Field(description="It is of type STRING or JSON, by choice: json_type.")
    repeated: bool


class WholeModelAnswer(ModelAnswer):
    """A model, with how its table is laid out if nothing else is said."""

    columns: list[ModelColumnAnswer]
    key: list[str]
    versions: list[str] = Field(description="The row with the greatest of these stays; none: rows never change.")
    partition_by: str | None
    cluster_by: list[str]
    table: str
    json_type: bool


@router.get("", responses=problems_of())
def find(by: _Reader) -> list[ModelAnswer]:  # noqa: ARG001 - it has to be there
    """All models. There are few."""
    return [ModelAnswer.model_validate(model) for model in registry.MODELS.values()]


@router.get("/{name}", responses=problems_of())
def show(name: Name, by: _Reader) -> WholeModelAnswer:  # noqa: ARG001 - it has to be there
    """One model."""
    return _whole(registry.get(name))


def _whole(model: Model) -> WholeModelAnswer:
    columns = [
        ModelColumnAnswer(
            name=column.name,
            type=str(column.type),
            description=column.description,
            may_be_json=column.json,
            repeated=column.repeated,
        )
        for column in model.columns
    ]
    return WholeModelAnswer(
        **ModelAnswer.model_validate(model).model_dump(),
        columns=columns,
        key=list(model.key),
        versions=list(model.versions),
        partition_by=model.partition_by,
        cluster_by=list(model.cluster_by),
        table=model.table,
        json_type=model.json_type,
    )
