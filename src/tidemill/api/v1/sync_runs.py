"""Runs of syncs, and of imports, which are syncs to this installation: triggered, seen, cancelled; their logs, and the
rows that they could not deliver. All of it takes the scopes of syncs; of an import, imports:read, too."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from tidemill.access.permissions import Permission
from tidemill.api.v1 import events, operations, pages, schemas
from tidemill.api.v1.access import Caller, caller, may
from tidemill.api.v1.events import State
from tidemill.api.v1.operations import OperationAnswer
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.runs import LineAnswer
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, LINES, WRITING, AsForm, Level, NumberAnswer, ReasonAnswer, lines, reason
from tidemill.api.v1.turns import SLOWLY
from tidemill.errors import NotFoundError
from tidemill.operations.service import OperationView

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import RunState, RunView, Watch

Group = Literal["sync", "import"]
_LOOK_AGAIN_SECONDS = "2"
_Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the run.")]
_Key = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="The same within a day is the same call, and begins nothing twice."
    ),
]
_Status = Annotated[
    Literal["running", "completed", "skipped", "failed", "cancelled"] | None,
    Query(description="Those that stand like that."),
]
_Code = Annotated[str | None, Query(max_length=200, pattern=schemas.STORABLE, description="With that reason.")]
_Text = Annotated[
    str | None, Query(max_length=300, pattern=schemas.STORABLE, description="With that text in the key or the message.")
]
_LATER = {"Retry-After": {"description": "Seconds until it is worth a look.", "schema": {"type": "integer"}}}


class TriggerRequest(pydantic.BaseModel, extra="forbid"):
    """What is wanted of a run."""

    force: pydantic.StrictBool = Field(default=False, description="Also if no table of the model has changed.")


class SyncTriggerAnswer(pydantic.BaseModel):
    """The run that is to be done, or is at work."""

    sync: str = Field(description="Name of the sync.")
    run: int = Field(description="Number of the run.")
    already: bool = Field(description="It was at work, or waited, before; nothing more is begun.")
    url: str = Field(description="Where to see how it stands: a path at this server.")


class Counts(pydantic.BaseModel):
    """Rows of a run: of the model, by what has changed since they were delivered; and what became of those that were to
    be delivered. added + updated + deleted + retried = extracted + noted; extracted = written + rejected + to_retry +
    unsent."""

    added: int
    updated: int
    deleted: int
    retried: int = Field(description="An earlier run has tried them already: added, updated or deleted ones.")
    unchanged: int
    invalid: int = Field(description="They cannot be delivered: their key is NULL, or that of others, too.")
    dropped: int = Field(description="Somebody gave them up, as they are.")
    extracted: int = Field(description="They are to be delivered.")
    noted: int = Field(description="They have changed, and the mode of the sync does not deliver that.")
    written: int
    rejected: int = Field(description="The destination, the mapping or a check says no.")
    to_retry: int = Field(description="The next run tries them again.")
    unsent: int = Field(description="The run has not come to them; when it is over, the next one does.")


class SyncRunAnswer(pydantic.BaseModel):
    """How a run stands."""

    sync: str = Field(description="Name of the sync.")
    run: int = Field(description="Number of the run.")
    status: str = Field(
        description="waiting (for a worker), running; completed, skipped (nothing has changed), failed, cancelled.",
        json_schema_extra={"enum": ["waiting", "running", "completed", "skipped", "failed", "cancelled"]},
    )
    is_over: bool = Field(description="It stays like that.")
    counts: Counts | None = Field(description="null: it has not begun.")
    bytes_billed: int
    error: ReasonAnswer | None
    notes: list[str] = Field(description="What is to be known of it.")
    began_at: dt.datetime | None
    began_by: str | None
    finished_at: dt.datetime | None


class CancelledAnswer(pydantic.BaseModel):
    """A run that was asked to stop."""

    run: int
    at_work: bool = Field(description="false: no process is at it; who runs it next brings it to its end.")


class SyncRejectAnswer(pydantic.BaseModel, from_attributes=True):
    """A row that was not delivered, in its last version."""

    key: str
    op: str = Field(description="added, updated or deleted.")
    status: str = Field(description="rejected, retry (the next run tries it), or invalid (for its key).")
    code: str
    message: str
    row: dict[str, Any] | None
    tries: int
    first_run: int
    last_run: int
    last_at: dt.datetime


class RejectsChosen(pydantic.BaseModel, extra="forbid"):
    """Which rows are meant. Nothing: all."""

    keys: list[str] = Field(default=[], max_length=1_000, description="Those of these keys, as they are listed.")
    text: str | None = Field(default=None, min_length=1, max_length=300, description="With that text.")
    code: str | None = Field(default=None, min_length=1, max_length=200, description="With that reason.")


class RejectsDropped(RejectsChosen):
    """Which rows are given up."""

    all: pydantic.StrictBool = Field(default=False, description="All: it must be said, if nothing else says which.")


class ResetWanted(pydantic.BaseModel, extra="forbid"):
    """How the next run takes what was delivered."""

    how: Literal["resend", "leave", "adopt", "forget"] = Field(
        description="Send all rows again; leave those that were delivered; take the model as delivered; forget all."
    )


def _runs(router: APIRouter, group: Group) -> None:
    reads, sends = Depends(caller(Permission.SYNCS_READ)), Depends(caller(Permission.SYNCS_TRIGGER))

    @router.post("/{name}/trigger", status_code=202, responses=WRITING)
    def trigger(
        name: Name,
        response: Response,
        by: Caller = sends,
        wanted: TriggerRequest | None = None,
        idempotency_key: _Key = None,
    ) -> SyncTriggerAnswer:
        """Have a worker run it, whether or not it has a schedule.

        If a run of it is at work, or waits, it is that one, and nothing more is begun.
        """
        if group == "import":
            by.app.imports.assert_may_run(name)
        force = wanted.force if wanted else False
        once = (by.token.id, idempotency_key) if idempotency_key is not None else None
        found = by.app.sync_triggers.trigger(name, by=by.by, force=force, once=once)
        url = schemas.address(f"{group}s", found.sync, "runs", str(found.number))
        response.headers["location"], response.headers["retry-after"] = url, _LOOK_AGAIN_SECONDS
        return SyncTriggerAnswer(sync=found.sync, run=found.number, already=found.already, url=url)

    @router.get("/{name}/runs", responses=problems_of())
    def runs(name: Name, wanted: Wanted, by: Caller = reads, status: _Status = None) -> Listed[SyncRunAnswer]:
        """Its runs, newest first."""
        by.app.reverse_etl.syncs.assert_of(name, group)
        return pages.of(by.app.reverse_etl.syncs.page(name, wanted, status=status), run_answer)

    @router.get("/{name}/runs/{number}", responses={200: {"headers": _LATER}, **problems_of()})
    def run(name: Name, number: _Number, response: Response, by: Caller = reads) -> SyncRunAnswer:
        """How a run stands. While it is not over, Retry-After says when to look again."""
        state = by.app.sync_triggers.state(name, number)
        if not state.is_over:
            response.headers["retry-after"] = _LOOK_AGAIN_SECONDS
        return _state_answer(state)

    @router.get(
        "/{name}/runs/{number}/events", response_class=Response, responses={**events.DESCRIBED, **problems_of()}
    )
    def progress(name: Name, number: _Number, request: Request, by: Caller = reads) -> Response:
        """How a run goes on, as Server-Sent Events, until it is over."""
        return events.stream(request, _look, (name, number), _state(by.app.sync_triggers.state(name, number)))

    @router.post("/{name}/cancel", responses=ACTING)
    def cancel(name: Name, by: Caller = sends) -> CancelledAnswer:
        """Ask its run to stop. What it has delivered is remembered."""
        found, at_work = by.app.reverse_etl.syncs.cancel(name)
        return CancelledAnswer(run=found.number, at_work=at_work)


def _logs(router: APIRouter, group: Group) -> None:
    reads = Depends(caller(Permission.SYNCS_READ))

    @router.get("/{name}/runs/{number}/logs", responses=problems_of())
    def logs(
        name: Name,
        number: _Number,
        wanted: Wanted,
        by: Caller = reads,
        level: Annotated[Level | None, Query(description="Of that weight, or more.")] = None,
        step: Annotated[str | None, Query(max_length=100, description="Of that step.")] = None,
        search: Annotated[str | None, Query(max_length=300, description="In message, step or fields.")] = None,
        since: Annotated[str | None, Query(max_length=50, description="A time, or how long ago: 15m.")] = None,
    ) -> Listed[LineAnswer]:
        """What a run has told, oldest first."""
        by.app.reverse_etl.syncs.assert_of(name, group)
        looked = {"level": level, "step": step, "search": search, "since": since}
        return pages.of(by.app.reverse_etl.logs.page(name, number, wanted, **looked), LineAnswer.model_validate)


def _rejects(router: APIRouter, group: Group) -> None:
    reads, sends = Depends(caller(Permission.SYNCS_READ)), Depends(caller(Permission.SYNCS_TRIGGER))

    @router.get("/{name}/rejects", responses=problems_of())
    def rejects(
        name: Name, wanted: Wanted, by: Caller = reads, text: _Text = None, code: _Code = None
    ) -> Listed[SyncRejectAnswer]:
        """Rows that are not delivered, by key."""
        by.app.reverse_etl.syncs.assert_of(name, group)
        page = by.app.reverse_etl.rejects.page(name, wanted, text=text, code=code)
        return pages.of(page, SyncRejectAnswer.model_validate)

    @router.get(
        "/{name}/rejects/export",
        response_class=StreamingResponse,
        responses={**LINES, **problems_of()},
        dependencies=[SLOWLY],
        name="export_rejects",
    )
    def export(
        name: Name, by: Caller = reads, text: _Text = None, code: _Code = None, form: AsForm = "json"
    ) -> StreamingResponse:
        """All rows that are not delivered, with their reasons, by key, as they are read."""
        by.app.reverse_etl.syncs.assert_of(name, group)
        return lines(by.app.reverse_etl.rejects.lines(name, form, text=text, code=code), form)

    def answer(found: OperationView, response: Response) -> OperationAnswer:
        url = schemas.address(f"{group}s", found.name, "rejects", "retry", str(found.id))
        return operations.answer(found, url, response)

    @router.post("/{name}/rejects/retry", status_code=202, responses=WRITING)
    def retry_rejects(
        name: Name, response: Response, by: Caller = sends, chosen: RejectsChosen | None = None
    ) -> OperationAnswer:
        """Have a worker try rows again, as they are now: 10,000 at most."""
        by.app.reverse_etl.syncs.assert_of(name, group)
        fields = (chosen or RejectsChosen()).model_dump()
        return answer(by.app.operations.retry_rows(name, by=by.by, **fields), response)

    @router.get("/{name}/rejects/retry/{operation}", responses={200: {"headers": operations.LATER}, **problems_of()})
    def show_retry(name: Name, operation: operations.Id, response: Response, by: Caller = reads) -> OperationAnswer:
        """How it stands with rows that are to be tried again. Until it is over, Retry-After says when to look again."""
        return answer(by.app.operations.retry_by_id(name, operation), response)

    @router.post("/{name}/rejects/drop", responses=WRITING, dependencies=[SLOWLY])
    def drop_rejects(name: Name, chosen: RejectsDropped, by: Caller = sends) -> NumberAnswer:
        """Give rows up, as they are: they are sent when they have changed."""
        text = "" if chosen.all and chosen.text is None else chosen.text
        found = by.app.reverse_etl.rejects.drop(name, keys=chosen.keys, text=text, code=chosen.code)
        return NumberAnswer(number=found)


def _pausing(router: APIRouter) -> None:
    writes = Depends(caller(Permission.SYNCS_WRITE))

    @router.post("/{name}/pause", status_code=204, responses=ACTING)
    def pause(name: Name, by: Caller = writes) -> None:
        """Begin no run by itself any more. What runs, ends."""
        by.app.reverse_etl.syncs.pause(name, by.by)

    @router.post("/{name}/unpause", status_code=204, responses=ACTING)
    def unpause(name: Name, by: Caller = writes) -> None:
        """Have runs begin by themselves again."""
        by.app.reverse_etl.syncs.unpause(name)

    @router.post("/{name}/reset", status_code=204, responses=WRITING)
    def reset(name: Name, wanted: ResetWanted, by: Caller = writes) -> None:
        """Have the next run take what was delivered in another way."""
        by.app.reverse_etl.syncs.reset(name, wanted.how)


def of(group: Group) -> APIRouter:
    """The routes of syncs, or of imports."""
    also = [Depends(may(Permission.IMPORTS_READ))] if group == "import" else []
    router = APIRouter(prefix=f"/{group}s", tags=[f"{group}s"], dependencies=also)
    add: Callable[[APIRouter, Group], None]
    for add in (_runs, _logs, _rejects):
        add(router, group)
    _pausing(router)
    return router


every = APIRouter(tags=["syncs"])


@every.get("/sync-runs", responses=problems_of())
def all_runs(
    by: Annotated[Caller, Depends(caller(Permission.SYNCS_READ))], wanted: Wanted, status: _Status = None
) -> Listed[SyncRunAnswer]:
    """Runs of all syncs and imports, newest first."""
    return pages.of(by.app.reverse_etl.syncs.page(None, wanted, status=status), run_answer)


def silent() -> Watch:
    """Of work that nobody watches."""
    from tidemill.reverse_etl.service import Watch

    return Watch(lambda _what, _done, _all: None)


def _look(app: App, keys: Collection[Any]) -> Mapping[Any, State]:
    """See events.Look."""
    found = {}
    for name, number in keys:
        with contextlib.suppress(NotFoundError):
            found[name, number] = _state(app.sync_triggers.state(name, number))
    return found


def _state(state: RunState) -> State:
    return State(_state_answer(state).model_dump(mode="json"), state.is_over)


def run_answer(run: RunView) -> SyncRunAnswer:
    """A run that has begun."""
    return _told(run.sync, run.number, run.status, run, run.error)


def _state_answer(state: RunState) -> SyncRunAnswer:
    return _told(state.sync, state.number, state.status, state.run, state.error)


def _told(sync: str, number: int, status: str, run: RunView | None, error: Mapping[str, str] | None) -> SyncRunAnswer:
    return SyncRunAnswer(
        sync=sync,
        run=number,
        status=status,
        is_over=status not in {"waiting", "running"},
        counts=Counts(**{name: getattr(run, name) for name in Counts.model_fields}) if run else None,
        bytes_billed=run.bytes_billed if run else 0,
        error=reason(error),
        notes=list(run.notes) if run else [],
        began_at=run.began_at if run else None,
        began_by=run.began_by if run else None,
        finished_at=run.finished_at if run else None,
    )
