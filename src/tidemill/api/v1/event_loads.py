"""Files of events: sent as they are, bounded and kept on the disk as they come, and loaded by a worker."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from starlette.requests import ClientDisconnect

from tidemill.access.permissions import Permission
from tidemill.api.v1 import events, pages, schemas
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.bodies import SLOW
from tidemill.api.v1.events import State
from tidemill.api.v1.pages import Listed, Wanted
from tidemill.api.v1.problems import ProblemError, problem, problems_of
from tidemill.api.v1.shared import ACTING, ReasonAnswer
from tidemill.api.v1.turns import TURN, Turn
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.events.uploads import LoadView, Received, UploadService

router = APIRouter(prefix="/events/loads", tags=["event_loads"])
_Reader = Annotated[Caller, Depends(caller(Permission.EVENTS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.EVENTS_WRITE))]
Format = Literal["auto", "posthog", "segment", "amplitude", "mixpanel", "jsonl", "csv", "parquet"]
#: Files that a process receives at once: each is written to the disk.
_AT_ONCE = 4
#: So much of a file is in memory before it is written.
_BLOCK = 1024 * 1024
_LOOK_AGAIN_SECONDS = "2"
_TOO_LARGE = "upload_too_large"
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file as it is: plain, gzip or zip.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_LATER = {
    name: {"description": said, "schema": {"type": "string"}}
    for name, said in (
        ("Location", "Where to see how it goes on."),
        ("Retry-After", "Seconds until a look is worth it."),
    )
}
_Map = Annotated[
    list[Annotated[str, Field(max_length=600, pattern=r"^[^=\x00]+=[^\x00]+$")]],
    Query(max_length=20, alias="map", description="Of jsonl, csv, parquet: FIELD=COLUMN, as timestamp=time."),
]


class EventLoadAnswer(pydantic.BaseModel, from_attributes=True):
    """A file that is loaded, or waits for it."""

    id: uuid.UUID
    file: str
    status: str = Field(description="waiting (for a worker), running, completed, failed or cancelled.")
    is_over: bool = Field(description="It stays like that.")
    format: str = Field(description="As it is read; auto: that is not known yet.")
    team_id: int | None = Field(description="Of all events; null: each event's own.")
    bytes: int
    bytes_read: int
    rows: int = Field(description="Events that were added; since the last worker took it, if one was killed.")
    duplicates: int = Field(description="Events that were in the store already; once it is completed.")
    rejects: int = Field(description="Lines that were set aside; once it is completed.")
    already_loaded: bool = Field(description="The same file was loaded before; nothing was to add.")
    notes: list[str]
    by: str
    at: dt.datetime
    finished_at: dt.datetime | None
    error: ReasonAnswer | None = Field(description="Why it failed, or what it waits for.")


@router.post(
    "",
    status_code=202,
    responses={202: {"headers": _LATER}, **problems_of(408, 413)},
    openapi_extra=_FILE,
)
async def load(
    request: Request,
    by: _Writer,
    response: Response,
    file: Annotated[
        str, Query(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$", description="What it is called.")
    ] = "a file",
    format: Annotated[Format, Query(description="How it is read.")] = "auto",  # noqa: A002 - of the query
    team_id: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="Team of all events. Default: each event's own, else 1.")
    ] = None,
    maps: _Map = [],  # noqa: B006 - it is not changed
    event: Annotated[
        str | None, Query(min_length=1, max_length=400, description="Of jsonl, csv, parquet: one name for all.")
    ] = None,
) -> EventLoadAnswer:
    """Send a file of events: a worker loads it. What is in the store already is not added again, so a file may be sent
    again if the answer was lost; a bad line is set aside."""
    mapping = _mapping(maps, event)
    turn: Turn = request.scope[TURN]
    turn.leave()
    with _refusing():
        service = await asyncio.to_thread(lambda: by.app.event_loads)
        await asyncio.to_thread(service.check, format, mapping, _length(request))
        async with _place(request), _received(request, service) as received:
            await turn.slow_down()
            begun: dict[str, Any] = {
                "file": file,
                "format_name": format,
                "team_id": team_id,
                "mapping": mapping,
                "by": by.by,
            }
            found = await asyncio.to_thread(lambda: service.begin(received, **begun))
    response.headers["location"] = schemas.address("events", "loads", str(found.id))
    response.headers["retry-after"] = _LOOK_AGAIN_SECONDS
    return _answer(found)


@router.get("", responses=problems_of())
def find(by: _Reader, wanted: Wanted) -> Listed[EventLoadAnswer]:
    """Files that were sent, newest first; for a month."""
    return pages.of(by.app.event_loads.page(wanted), _answer)


@router.get("/{load_id}", responses=problems_of())
def show(load_id: uuid.UUID, by: _Reader, response: Response) -> EventLoadAnswer:
    """How the load of a file stands. While it is not over, Retry-After says when to look again."""
    found = by.app.event_loads.get(load_id)
    if not found.is_over:
        response.headers["retry-after"] = _LOOK_AGAIN_SECONDS
    return _answer(found)


@router.get("/{load_id}/events", response_class=Response, responses={**events.DESCRIBED, **problems_of()})
def progress(load_id: uuid.UUID, by: _Reader, request: Request) -> Response:
    """How the load of a file goes on, as Server-Sent Events, until it is over."""
    return events.stream(request, _look, load_id, _state(by.app.event_loads.get(load_id)))


@router.post("/{load_id}/cancel", responses=ACTING)
def cancel(load_id: uuid.UUID, by: _Writer) -> EventLoadAnswer:
    """Ask for one to stop. What was added by then stays; the same file, sent again, goes on from there."""
    return _answer(by.app.event_loads.cancel(load_id))


def _mapping(maps: list[str], event: str | None) -> dict[str, str]:
    """As the service has it."""
    pairs = (item.partition("=") for item in maps)
    found = {field.strip(): column.strip() for field, _, column in pairs}
    return found | ({"event_name": event} if event is not None else {})


def _length(request: Request) -> int | None:
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None


@contextlib.contextmanager
def _refusing() -> Any:
    """A file that is too large is refused by the status for that."""
    try:
        yield
    except ConfigError as error:
        if error.code != _TOO_LARGE:
            raise
        raise ProblemError(problem(413, error.code, error.message, error.hint)) from None
    except TimeoutError:
        raise ProblemError(SLOW) from None


@contextlib.asynccontextmanager
async def _place(request: Request) -> AsyncIterator[None]:
    """One of few places for files that come."""
    places = request.app.state.files
    if places.number >= _AT_ONCE:
        busy = problem(503, "uploads_busy", f"{_AT_ONCE} files are being received already.", "Send it again later.")
        raise ProblemError(busy, {"retry-after": "10"})
    places.number += 1
    try:
        yield
    finally:
        places.number -= 1


class Places:
    """How many files are being received in this process."""

    def __init__(self) -> None:
        self.number = 0


@contextlib.asynccontextmanager
async def _received(request: Request, service: UploadService) -> AsyncIterator[Received]:
    """The file, once all of it has come. It is on the disk, and gone after the block."""
    receiving = service.receiving()
    received = await asyncio.to_thread(receiving.__enter__)
    try:
        held = bytearray()
        async for part in request.stream():
            held += part
            if len(held) >= _BLOCK:
                await asyncio.to_thread(received.write, bytes(held))
                held.clear()
        await asyncio.to_thread(received.write, bytes(held))
        yield received
    except ClientDisconnect:
        raise ConnectionError("the sender is gone") from None
    finally:
        await asyncio.to_thread(receiving.__exit__, None, None, None)


def _look(app: App, keys: Collection[Any]) -> Mapping[Any, State]:
    """See events.Look."""
    return {load_id: _state(found) for load_id, found in app.event_loads.progress(keys).items()}


def _state(found: LoadView) -> State:
    return State(_answer(found).model_dump(mode="json"), found.is_over)


def _answer(found: LoadView) -> EventLoadAnswer:
    return EventLoadAnswer.model_validate(found)
