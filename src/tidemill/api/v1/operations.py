"""Operations: what takes long, and a worker does to its end. Each is asked for, and seen, at what it is about."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Literal

import pydantic
from fastapi import Path, Response
from pydantic import Field

from tidemill.api.v1.shared import ReasonAnswer, reason
from tidemill.operations.service import OperationView

_LOOK_AGAIN_SECONDS = "2"
Id = Annotated[uuid.UUID, Path(description="Id of the operation.")]
#: For the description of a route that asks for one, and of one that shows it.
LATER = {"Retry-After": {"description": "Seconds until it is worth a look.", "schema": {"type": "integer"}}}


class PlaceAnswer(pydantic.BaseModel):
    """What was done to one place."""

    place: str = Field(description="A table; or persons, events: here.")
    rows: int = Field(description="How many were changed or deleted.")
    error: ReasonAnswer | None = Field(description="Why it is not done yet.")


class OperationAnswer(pydantic.BaseModel):
    """Something that a worker does, or is to do. It goes on if the worker is killed, and is kept for a month."""

    id: uuid.UUID
    kind: Literal["import_undo", "person_delete", "sync_rows", "sync_deletes"]
    name: str = Field(description="Of what it is about. Of a person that is deleted nothing is kept: it is empty then.")
    status: Literal["waiting", "running", "completed", "failed"]
    is_over: bool = Field(description="It stays like that.")
    already: bool = Field(description="The same was asked for before and is not over; nothing more is begun.")
    by: str
    at: dt.datetime = Field(description="When it was asked for.")
    finished_at: dt.datetime | None
    what: str = Field(description="What is done at the moment.")
    done: int | None = Field(description="So much of what can be counted is done.")
    total: int | None = Field(description="Of so much; null: there is no count.")
    rate: float | None = Field(description="How much a second.")
    seconds_left: float | None = Field(description="How long it takes still, if it goes on like that.")
    places: list[PlaceAnswer] = Field(description="Of an undo and of a deletion: what was done where.")
    run: int | None = Field(description="Number of the sync's run, when that is over.")
    error: ReasonAnswer | None = Field(description="Why it failed, or what it waits for.")
    url: str = Field(description="Where to see how it stands: a path at this server.")


def answer(found: OperationView, url: str, response: Response | None) -> OperationAnswer:
    """How one stands, and where that can be seen. `response`: of that one alone."""
    if response is not None and not found.is_over:
        response.headers["location"], response.headers["retry-after"] = url, _LOOK_AGAIN_SECONDS
    made = {"url", "error", "places"}
    fields = {name: getattr(found, name) for name in OperationAnswer.model_fields if name not in made}
    places = [PlaceAnswer(place=one.place, rows=one.rows, error=reason(one.error)) for one in found.places]
    return OperationAnswer(**fields, places=places, error=reason(found.error), url=url)
