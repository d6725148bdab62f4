"""dbt projects: what is in use, for the check of a change in the CI of the repository; and webhooks of dbt Cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1 import problems
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.problems import problem, problems_of

if TYPE_CHECKING:
    from tidemill.app import App

router = APIRouter(prefix="/dbt", tags=["dbt"])
_Name = Annotated[
    str, Path(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", description="Name of the project.")
]
_Checker = Annotated[Caller, Depends(caller(Permission.DBT_CHECK))]
_UNSIGNED = problem(
    401,
    "signature_invalid",
    "There is no such project with a webhook, or that is not its secret's signature of the body.",
    "Give the webhook's secret anew: tidemill dbt edit NAME --webhook-secret-file FILE",
)
_RESULTS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The run_results.json that dbt wrote.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
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
def in_use(name: _Name, by: _Checker) -> Response:
    """The project as it is known, and its models in use: what `tidemill dbt check --server` compares with."""
    return Response(by.app.dbt.in_use(name).text(), media_type="application/json")


@router.post("/{name}/readable", responses=problems_of(400, 408, 413, 415))
def readable(name: _Name, asked: ReadableRequest, by: _Checker) -> ReadableAnswer:
    """Whether a model in use could be read if it stood there."""
    return ReadableAnswer(readable=by.app.dbt.readable(name, asked.model, asked.relation))


class AfterRunAnswer(pydantic.BaseModel, from_attributes=True):
    """What a run of dbt means for a sync."""

    sync: str
    model: str
    number: int | None = Field(description="Of the run that was triggered; null: none was.")
    reason: str = Field(description="Why none was; or which run it waits for.")


class WebhookAnswer(pydantic.BaseModel):
    """What was told is written down, and seen to within a minute."""

    news: bool = Field(description="false: it was told before, or is nothing that matters here.")


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/after-run",
    status_code=202,
    responses=problems_of(400, 408, 413, 415),
    openapi_extra=_RESULTS,
)
def after_run(
    body: Annotated[bytes, Depends(_body)],
    by: Annotated[Caller, Depends(caller(Permission.SYNCS_TRIGGER))],
    project: Annotated[
        str | None, Query(min_length=1, max_length=100, description="The project; else all that have such models.")
    ] = None,
) -> list[AfterRunAnswer]:
    """Have workers run the syncs whose models a run of dbt has built, and whose tests hold."""
    found = by.app.dbt_models.after(body, what="run_results.json", project=project, by=by.by)
    return [AfterRunAnswer.model_validate(one) for one in found]


@router.post(
    "/{name}/webhook", status_code=202, response_model=WebhookAnswer, responses=problems_of(400, 408, 413, 415)
)
def webhook(
    name: _Name,
    request: Request,
    body: Annotated[bytes, Depends(_body)],
    authorization: Annotated[
        str, Header(max_length=1_000, description="HMAC-SHA256 of the body, by the webhook's secret, in hexadecimal.")
    ] = "",
) -> Any:
    """A webhook of dbt Cloud: after a run that succeeded, the syncs of the models that it built run."""
    app: App = request.app.state.opened
    news = app.dbt_webhooks.receive(name, body, authorization)
    if news is None:
        return Response(problems.written(_UNSIGNED), 401, {"www-authenticate": "Signature"}, problems.KIND)
    return WebhookAnswer(news=news)
