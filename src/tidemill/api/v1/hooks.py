"""Hooks: addresses with a secret, by which somebody outside has an export or a sync run."""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from tidemill import paging
from tidemill.access.hooks import SORTS, HookService, HookView
from tidemill.access.permissions import Permission
from tidemill.acting import acting
from tidemill.api.v1 import pages, schemas
from tidemill.api.v1.access import Caller, assert_lasting, assert_within, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import Problem, ProblemError, problem, problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING
from tidemill.app import App

router = APIRouter(prefix="/hooks", tags=["hooks"])
_Secret = Annotated[str, Path(max_length=200, description="What was shown when the hook was made.")]
_Start = Annotated[str, Path(min_length=1, max_length=20, description="Its first characters, as they are listed.")]
_UNKNOWN = problem(404, "hook_unknown", "There is no such hook.", "Make one: tidemill export hook create NAME")
#: What a call may be answered beside that it is taken. It needs no token.
_CALLED: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (404, 408, 409, 413, 422, 429, 500, 503)
}


class HookAnswer(pydantic.BaseModel, from_attributes=True):
    """A hook, of which only the start is known."""

    start: str
    created_at: dt.datetime
    created_by: str
    last_used_at: dt.datetime | None


class HookCreated(HookAnswer):
    """A new hook."""

    secret: str = Field(description="It is not shown again.")
    url: str = Field(description="What is called, by POST: a path at this server. It holds the secret.")


class HookCalledAnswer(pydantic.BaseModel):
    """A run is to be done, or is at work."""

    already: bool = Field(description="It waited, or was at work, before; nothing more is begun.")


@router.post("/{secret}", status_code=202, responses=_CALLED)
def call(secret: _Secret, request: Request) -> HookCalledAnswer:
    """Have a worker run what this hook is of. The body is not looked at. What is unknown is always answered alike."""
    app: App = request.app.state.opened
    found = app.export_hooks.holder(secret) or app.sync_hooks.holder(secret)
    if found is None:
        raise ProblemError(_UNKNOWN)
    if wait := request.app.state.paces.wait(found.start):
        said = problem(429, "hook_too_often", "This hook is called too often.", "Call it less: a run takes all.")
        raise ProblemError(said, {"retry-after": str(math.ceil(wait))})
    actor = found.actor(request.client.host if request.client else "")
    theirs = acting(app, actor)
    if found.kind == "export":
        return HookCalledAnswer(already=theirs.exports.triggers.run(found.name, by=actor.by).already)
    return HookCalledAnswer(already=theirs.sync_triggers.trigger(found.name, by=actor.by).already)


def of(kind: Literal["export", "sync"], read: Permission, write: Permission) -> APIRouter:
    """The routes about hooks of exports, or of syncs."""
    routes = APIRouter(prefix=f"/{kind}s", tags=["hooks"])
    reads, writes = Depends(caller(read)), Depends(caller(write))

    def service(by: Caller) -> HookService:
        return by.app.export_hooks if kind == "export" else by.app.sync_hooks

    @routes.get("/{name}/hooks", responses=problems_of(), name=f"of_{kind}")
    def find(
        name: Name, wanted: Annotated[paging.Wanted, pages.sorted_by(SORTS, "created_at")], by: Caller = reads
    ) -> Listed[HookAnswer]:
        """Its hooks, oldest first, or as it is asked for."""
        return pages.of(service(by).page(name, wanted), _answer)

    @routes.post("/{name}/hooks", status_code=201, responses=ACTING, name=f"create_of_{kind}")
    def create(name: Name, by: Caller = writes) -> HookCreated:
        """Make a hook. Its secret is shown this once. A token that expires makes none: it would outlive it."""
        assert_lasting(by, "a hook")
        assert_within(by, {Permission.EXPORTS_WRITE if kind == "export" else Permission.SYNCS_TRIGGER})
        secret, made = service(by).create(name, by=by.by)
        return HookCreated(**dict(_answer(made)), secret=secret, url=schemas.address("hooks", secret))

    @routes.delete("/{name}/hooks/{start}", status_code=204, responses=ACTING, name=f"revoke_of_{kind}")
    def revoke(name: Name, start: _Start, by: Caller = writes) -> None:
        """Nothing is run by that hook from now on."""
        service(by).revoke(name, start)

    return routes


def _answer(found: HookView) -> HookAnswer:
    return HookAnswer.model_validate(found)
