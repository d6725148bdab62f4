"""dbt projects: what of one is in use, for the check of a change in the CI of its repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.access.service import TokenView
from tidemill.api.v1.access import may
from tidemill.api.v1.problems import problems_of

if TYPE_CHECKING:
    from tidemill.app import App

router = APIRouter(prefix="/dbt", tags=["dbt"])
_Name = Annotated[
    str, Path(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", description="Name of the project.")
]
_Token = Annotated[TokenView, Depends(may(Permission.DBT_CHECK))]
_DOCUMENT = {"description": "The document.", "content": {"application/json": {"schema": {"type": "object"}}}}


class ReadableRequest(pydantic.BaseModel, extra="forbid"):
    """A model in use, and where it would stand."""

    model: str = Field(max_length=1_000, description="Unique id of the model.")
    relation: str = Field(
        max_length=2_000,
        pattern=r"^[^`\\\x00-\x1f]+\.[^`\\\x00-\x1f]+\.[^`\\\x00-\x1f]+$",
        description="project.dataset.table",
    )


class ReadableAnswer(pydantic.BaseModel):
    """Whether the connections that read the model may read it there."""

    readable: bool | None = Field(description="null: that is not known, for there is no such table yet.")


@router.get("/{name}/in-use", response_class=Response, responses={200: _DOCUMENT, **problems_of()})
def in_use(name: _Name, request: Request, token: _Token) -> Response:  # noqa: ARG001 - it has to be there
    """The project as it is known, and its models in use: what `tidemill dbt check --server` compares with."""
    app: App = request.app.state.opened
    return Response(app.dbt.in_use(name).text(), media_type="application/json")


@router.post("/{name}/readable", responses=problems_of(400, 408, 413, 415))
def readable(name: _Name, asked: ReadableRequest, request: Request, token: _Token) -> ReadableAnswer:  # noqa: ARG001
    """Whether a model in use could be read if it stood there."""
    app: App = request.app.state.opened
    return ReadableAnswer(readable=app.dbt.readable(name, asked.model, asked.relation))
