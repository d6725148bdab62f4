"""Kinds of destinations: what an account of each needs, and what it does with rows, as JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Path
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.access.service import TokenView
from tidemill.api.v1.access import may
from tidemill.api.v1.problems import problems_of
from tidemill.destinations import registry, schemas

router = APIRouter(prefix="/destination-kinds", tags=["destinations"])
_Kind = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", description="Name of the kind.")]
_Reader = Annotated[TokenView, Depends(may(Permission.DESTINATIONS_READ))]


class KindAnswer(pydantic.BaseModel):
    """A kind of destinations."""

    name: str
    title: str
    description: str
    page: str = Field(description="The vendor's own documentation.")


class ActionAnswer(pydantic.BaseModel):
    """One thing that it can do with rows."""

    name: str
    title: str
    description: str
    modes: list[str] = Field(description="insert, update, upsert, delete, mirror; the first is proposed.")
    row: dict[str, Any] = Field(description="JSON Schema of what a mapping makes of a row.")


class WholeKindAnswer(KindAnswer):
    """A kind, with all that a form needs."""

    settings: dict[str, Any] = Field(description="JSON Schema of the settings of an account; secrets are writeOnly.")
    actions: list[ActionAnswer]


@router.get("", responses=problems_of())
def every(token: _Reader) -> list[KindAnswer]:  # noqa: ARG001 - it has to be there
    """All kinds, by name."""
    return [KindAnswer.model_validate(found, from_attributes=True) for found in registry.everything().values()]


@router.get("/{name}", responses=problems_of())
def one(name: _Kind, token: _Reader) -> WholeKindAnswer:  # noqa: ARG001 - it has to be there
    """One kind: the settings of an account, and what each action takes."""
    return WholeKindAnswer.model_validate(schemas.described(registry.get(name)))
