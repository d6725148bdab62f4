"""What is sent and answered: shared. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted


class BackfillAnswer(Model):
    """A backfill, with what became of its intervals. Its runs are those of the export with its id."""

    id: UUID
    export: str
    status: str = pydantic.Field(description="running, interrupted, paused, failed, completed, cancelled.")
    time_from: datetime | None
    time_to: datetime | None
    every: str
    intervals: int
    intervals_done: int
    intervals_failed: int
    percent: float
    rows: int
    rows_done: int
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    hint: str = pydantic.Field(description="What to do about the first interval that failed.")


class CancelledAnswer(Model):
    """A run that was asked to stop."""

    run: int
    at_work: bool = pydantic.Field(description="false: no process is at it; who runs it next brings it to its end.")


class Counts(Model):
    """Rows of a run: of the model, by what has changed since they were delivered; and what became of those that
    were to be delivered. added + updated + deleted + retried = extracted + noted; extracted = written +
    rejected + to_retry + unsent."""

    added: int
    updated: int
    deleted: int
    retried: int = pydantic.Field(description="An earlier run has tried them already: added, updated or deleted ones.")
    unchanged: int
    invalid: int = pydantic.Field(description="They cannot be delivered: their key is NULL, or that of others, too.")
    dropped: int = pydantic.Field(description="Somebody gave them up, as they are.")
    extracted: int = pydantic.Field(description="They are to be delivered.")
    noted: int = pydantic.Field(description="They have changed, and the mode of the sync does not deliver that.")
    written: int
    rejected: int = pydantic.Field(description="The destination, the mapping or a check says no.")
    to_retry: int = pydantic.Field(description="The next run tries them again.")
    unsent: int = pydantic.Field(description="The run has not come to them; when it is over, the next one does.")


class ExportTriggerAnswer(Model):
    """Something that a worker does, or is to do."""

    id: UUID
    export: str
    what: str = pydantic.Field(description="run, retry, again, rejects.")
    run: UUID | None = pydantic.Field(description="The run that is meant.")
    status: str
    is_over: bool
    already: bool = pydantic.Field(description="It waited before it was asked for; nothing more is begun.")
    by: str
    at: datetime
    finished_at: datetime | None
    runs: list[UUID] = pydantic.Field(description="Runs that were moved for it; none if nothing was new.")
    error: TroubleAnswer | None = pydantic.Field(description="Why it failed, or what it waits for.")
    url: str = pydantic.Field(description="Where to see how it stands: a path at this server.")


class InspectionAnswer(Model):
    """A source model as BigQuery sees it."""

    columns: list[SourceColumnAnswer]
    bytes: int = pydantic.Field(description="That a run reads of its tables.")
    dollars: float = pydantic.Field(description="What that costs, about, by list price.")
    tables: list[str] = pydantic.Field(description="That it reads.")
    location: str


class LineAnswer(Model):
    """A line of a log."""

    id: int
    at: datetime
    run: str | None = pydantic.Field(description="Beginning of the run's id; null: between two runs.")
    attempt: int | None
    level: str
    step: str
    message: str
    fields: dict[str, Any]
    process: str


class NumberAnswer(Model):
    """How many it were."""

    number: int


class OperationAnswer(Model):
    """Something that a worker does, or is to do. It goes on if the worker is killed, and is kept for a month."""

    id: UUID
    kind: str
    name: str = pydantic.Field(
        description="Of what it is about. Of a person that is deleted nothing is kept: it is empty then."
    )
    status: str
    is_over: bool = pydantic.Field(description="It stays like that.")
    already: bool = pydantic.Field(description="The same was asked for before and is not over; nothing more is begun.")
    by: str
    at: datetime = pydantic.Field(description="When it was asked for.")
    finished_at: datetime | None
    what: str = pydantic.Field(description="What is done at the moment.")
    done: int | None = pydantic.Field(description="So much of what can be counted is done.")
    total: int | None = pydantic.Field(description="Of so much; null: there is no count.")
    rate: float | None = pydantic.Field(description="How much a second.")
    seconds_left: float | None = pydantic.Field(description="How long it takes still, if it goes on like that.")
    places: list[PlaceAnswer] = pydantic.Field(description="Of an undo and of a deletion: what was done where.")
    run: int | None = pydantic.Field(description="Number of the sync's run, when that is over.")
    error: ReasonAnswer | None = pydantic.Field(description="Why it failed, or what it waits for.")
    url: str = pydantic.Field(description="Where to see how it stands: a path at this server.")


class PlaceAnswer(Model):
    """What was done to one place."""

    place: str = pydantic.Field(description="A table; or persons, events: here.")
    rows: int = pydantic.Field(description="How many were changed or deleted.")
    error: ReasonAnswer | None = pydantic.Field(description="Why it is not done yet.")


class PreviewAnswer(Model):
    """The first rows."""

    columns: list[str]
    rows: list[dict[str, Any]]
    bytes_billed: int


class ReasonAnswer(Model):
    """Why something does not go on, or failed."""

    code: str = pydantic.Field(default="", description="For programs. It stays the same.")
    message: str = pydantic.Field(default="")
    hint: str = pydantic.Field(default="", description="What to do.")


class RejectsChosen(Wanted):
    """Which rows are meant. Nothing: all."""

    keys: list[str] = pydantic.Field(default=[], description="Those of these keys, as they are listed.")
    text: str | None = pydantic.Field(default=None, description="With that text.")
    code: str | None = pydantic.Field(default=None, description="With that reason.")


class RejectsDropped(Wanted):
    """Which rows are given up."""

    keys: list[str] = pydantic.Field(default=[], description="Those of these keys, as they are listed.")
    text: str | None = pydantic.Field(default=None, description="With that text.")
    code: str | None = pydantic.Field(default=None, description="With that reason.")
    all: bool = pydantic.Field(default=False, description="All: it must be said, if nothing else says which.")


class RemarkAnswer(Model):
    """What was done."""

    remark: str | None = pydantic.Field(description="What is to be known of it.")


class ResetWanted(Wanted):
    """How the next run takes what was delivered."""

    how: Literal["resend", "leave", "adopt", "forget"] = pydantic.Field(
        description="Send all rows again; leave those that were delivered; take the model as delivered; forget all."
    )


class Schedule(Model):
    """When an export runs. Neither `interval` nor `cron`: by hand alone."""

    interval: str | None = pydantic.Field(default="hour", description="How much time one run covers.")
    cron: str | None = pydantic.Field(default=None, description="When it is due: minute, hour, day, month, weekday.")
    time_zone: str = pydantic.Field(default="UTC", description="Whose calendar and clock; a name of the IANA's list.")
    offset: int = pydantic.Field(default=0, description="Seconds from the beginning of an interval to when it is due.")
    jitter: int = pydantic.Field(default=0, description="A run begins up to so many seconds later, each time another.")
    start_at: datetime | None = pydantic.Field(default=None, description="No interval that begins before is run.")
    end_at: datetime | None = pydantic.Field(default=None, description="No interval that ends later is run.")
    missed: str = pydantic.Field(default="each", description="Intervals that were missed: run each, or join them.")
    pause_after: int | None = pydantic.Field(default=10, description="It is paused after so many failures.")
    pause_within: int | None = pydantic.Field(default=None, description="So many seconds a failure counts.")


class SourceColumnAnswer(Model):
    """A column of a source model."""

    name: str
    type: str = pydantic.Field(description="BigQuery's.")
    mode: str = pydantic.Field(description="NULLABLE, REQUIRED or REPEATED.")
    key: bool


class StepAnswer(Model):
    """One step of a test."""

    name: str
    title: str
    status: str = pydantic.Field(description="passed, failed, skipped or warning.")
    message: str
    hint: str = pydantic.Field(description="What to do, with the command that does it.")
    seconds: float


class StepsAnswer(Model):
    """What a test found."""

    passed: bool
    steps: list[StepAnswer]


class SyncRejectAnswer(Model):
    """A row that was not delivered, in its last version."""

    key: str
    op: str = pydantic.Field(description="added, updated or deleted.")
    status: str = pydantic.Field(description="rejected, retry (the next run tries it), or invalid (for its key).")
    code: str
    message: str
    row: dict[str, Any] | None
    tries: int
    first_run: int
    last_run: int
    last_at: datetime


class SyncRunAnswer(Model):
    """How a run stands."""

    sync: str = pydantic.Field(description="Name of the sync.")
    run: int = pydantic.Field(description="Number of the run.")
    status: str = pydantic.Field(
        description="waiting (for a worker), running; completed, skipped (nothing has changed), failed, cancelled."
    )
    is_over: bool = pydantic.Field(description="It stays like that.")
    counts: Counts | None = pydantic.Field(description="null: it has not begun.")
    bytes_billed: int
    error: ReasonAnswer | None
    notes: list[str] = pydantic.Field(description="What is to be known of it.")
    began_at: datetime | None
    began_by: str | None
    finished_at: datetime | None


class SyncTriggerAnswer(Model):
    """The run that is to be done, or is at work."""

    sync: str = pydantic.Field(description="Name of the sync.")
    run: int = pydantic.Field(description="Number of the run.")
    already: bool = pydantic.Field(description="It was at work, or waited, before; nothing more is begun.")
    url: str = pydantic.Field(description="Where to see how it stands: a path at this server.")


class TriggerRequest(Wanted):
    """What is wanted of a run."""

    force: bool = pydantic.Field(default=False, description="Also if no table of the model has changed.")


class TroubleAnswer(Model):
    """Why something does not go on."""

    code: str = pydantic.Field(description="For programs. It stays the same.")
    message: str
    hint: str = pydantic.Field(description="What to do.")
