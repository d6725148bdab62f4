"""What the repositories give out: frozen records, never rows of the database."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any


@dataclasses.dataclass(frozen=True)
class Connection:
    """A saved connection. `key` is the encrypted service account key; `deleting_at`: since when it is being deleted."""

    id: uuid.UUID
    name: str
    project: str
    dataset: str
    location: str | None
    adc: bool
    impersonate: str | None
    account: str | None
    key: bytes | None = dataclasses.field(repr=False)
    connected_at: dt.datetime
    connected_by: str
    updated_at: dt.datetime
    deleting_at: dt.datetime | None = None
    deleting_by: str | None = None
    #: Since when it signs in, and points, as it does; None: always.
    changed_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Export:
    """A saved export. `position` is the snapshot of the event store up to which it has exported."""

    id: uuid.UUID
    name: str
    connection_id: uuid.UUID
    model: str
    project: str
    dataset: str
    table_id: str
    spec: dict[str, Any]
    position: int
    created_at: dt.datetime
    created_by: str
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: a range of snapshots of one export."""

    id: uuid.UUID
    export_id: uuid.UUID
    backfill_id: uuid.UUID | None
    backfill_interval: int | None
    number: int
    status: str
    mode: str
    attempt: int
    spec: dict[str, Any]
    snapshot_after: int
    snapshot_upto: int
    interval_start: dt.datetime | None
    interval_end: dt.datetime | None
    covers_until: dt.datetime | None
    rows_planned: int
    rows_merged: int | None
    merge_job: str | None
    bytes_billed: int
    notes: list[str]
    layout: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    cancel_requested: bool
    worker: str | None
    scheduled: bool
    created_at: dt.datetime
    created_by: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Standing:
    """Which interval of an export's schedule is next, and whether it is paused. `next_end`: None if none will be due.

    `expected_from`: since when each interval has a run, or is in the queue. `pause_reason`: code, message and hint of
    what it was paused for; None if somebody wanted it.
    """

    export_id: uuid.UUID
    next_start: dt.datetime
    next_end: dt.datetime | None
    expected_from: dt.datetime
    paused_at: dt.datetime | None
    paused_by: str | None
    pause_reason: dict[str, str] | None
    served_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Task:
    """An interval of a schedule that has ended, and whose run is not completed. `error`: of the last of its `tries`."""

    id: uuid.UUID
    export_id: uuid.UUID
    interval_start: dt.datetime
    interval_end: dt.datetime
    due_at: dt.datetime
    tries: int
    error: dict[str, str] | None
    worker: str | None
    taken_at: dt.datetime | None
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Stream:
    """How far a streaming export is. `change` and `number`: the place up to which all rows are in the table.

    `epoch`: of who claimed it last. `run_id`: of its run that is not over. `name`: of its write stream, which is known
    to hold `rows` rows. `in_flight`: appends, in order, that may be in it: offset, rows, bytes, and the last's place.
    `quiets`: how often somebody needed the table to be still.
    """

    export_id: uuid.UUID
    epoch: int
    run_id: uuid.UUID | None
    name: str | None
    rows: int
    change: int
    number: int
    in_flight: list[dict[str, Any]]
    quiets: int
    sent_at: dt.datetime | None
    trouble: dict[str, str] | None


@dataclasses.dataclass(frozen=True)
class Backfill:
    """A range of event time that is exported again, an interval a run. `intervals`: start, end (ISO), rows of each.

    `parallel`: so many at once are moved by workers; None: who began it moves it, whose `worker` is known then.
    """

    id: uuid.UUID
    export_id: uuid.UUID
    status: str
    time_from: dt.datetime | None
    time_to: dt.datetime | None
    every: str
    upto: int
    intervals: list[dict[str, Any]]
    worker: str | None
    parallel: int | None
    created_at: dt.datetime
    created_by: str
    finished_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Piece:
    """An interval of a backfill that a worker is to move. `tries`: how often one has taken it."""

    backfill_id: uuid.UUID
    number: int
    due_at: dt.datetime
    tries: int
    worker: str | None
    taken_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was found when a table was held against the event store."""

    id: uuid.UUID
    export_id: uuid.UUID
    daily: bool
    since: dt.date | None
    expected: int
    rows: int
    missing: int
    duplicated: int
    unexpected: int
    days_different: int
    bytes_billed: int
    created_at: dt.datetime
    created_by: str


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One chunk of a run: a fixed set of events, loaded by one BigQuery job."""

    run_id: uuid.UUID
    number: int
    snapshot_after: int
    snapshot_upto: int
    time_from: dt.datetime | None
    time_to: dt.datetime | None
    rows_planned: int
    status: str
    rows_written: int
    rows_loaded: int
    rows_rejected: int
    rows_repaired: int
    bytes: int
    bounds: dict[str, list[str]] | None
    job_id: str | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class RunLine:
    """A line that a run told; without a run, of its export. `process`: host and number of the process that did."""

    id: int
    run_id: uuid.UUID | None
    export_id: uuid.UUID | None
    at: dt.datetime
    level: str
    step: str
    message: str
    fields: dict[str, Any]
    attempt: int | None
    process: str


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over the runs of an export that are over. `rows`, `bytes` and the like are of those that were completed;
    `written_bytes`: of these, by the Storage Write API; `seconds`: from their begin to their end. `last_…`: of the
    newest that exports what is new; `last_reached_at`: when BigQuery was last asked by one that was completed.
    `covered_until`: all that was acknowledged before is in the table.
    """

    export_id: uuid.UUID
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    rows: int = 0
    bytes: int = 0
    written_bytes: int = 0
    rejected: int = 0
    repaired: int = 0
    billed_bytes: int = 0
    seconds: float = 0.0
    last_status: str | None = None
    last_finished_at: dt.datetime | None = None
    last_seconds: float | None = None
    last_rows: int | None = None
    last_completed_at: dt.datetime | None = None
    last_reached_at: dt.datetime | None = None
    last_error: dict[str, str] | None = None
    covered_until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Load:
    """One file that was, or is being, loaded into the event store."""

    id: uuid.UUID
    file_key: str
    file: str
    format: str
    team_id: int
    team_given: bool
    content_key: str
    mapping: dict[str, Any]
    bytes: int
    status: str
    rows: int
    duplicates: int
    rejects: int
    started_at: dt.datetime
    finished_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Reject:
    """A row that was set aside. `raw` is its text, whole or (if not `whole`) its beginning."""

    id: int
    source: str
    part: str
    kind: str
    place: str
    code: str
    message: str
    raw: bytes
    whole: bool
    created_at: dt.datetime
    resolved_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Key:
    """A key by which SDKs send events of a team. `start`: its first characters; the rest is kept nowhere.

    `events_per_second`: how many it may send; None: as many as it likes.
    """

    id: uuid.UUID
    name: str
    team_id: int
    hash: bytes = dataclasses.field(repr=False)
    start: str
    events_per_second: int | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None
