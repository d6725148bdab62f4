"""What is sent and answered: exports. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import BackfillAnswer, Schedule, StepAnswer, TroubleAnswer


class CheckAnswer(Model):
    """What the table holds, id by id."""

    table: str
    columns: list[ColumnAnswer]
    expected: int = pydantic.Field(description="Rows that were exported, less those that were set aside.")
    rows: int
    missing: int
    duplicated: int
    foreign: int


class ColumnAnswer(Model):
    """A column of a table."""

    name: str
    type: str


class DayAnswer(Model):
    """A day (UTC) that is not as it should be."""

    day: date | None = pydantic.Field(description="null: all that there is, of a model without days.")
    expected: int
    rows: int
    missing: int
    foreign: int
    duplicated: int
    same: bool


class ExampleAnswer(Model):
    """A query that shows what can be asked, and its answer."""

    sql: str
    columns: list[str]
    rows: list[list[Any]]


class ExportAnswer(Model):
    """An export as it was said. How it stands is at its status."""

    id: UUID
    name: str
    connection: str
    target: str = pydantic.Field(description="project.dataset.table")
    spec: ExportSpec = pydantic.Field(description="All that was said of it, with what was left out.")
    created_at: datetime
    created_by: str
    updated_at: datetime


class ExportChanges(Wanted):
    """What is to be changed of an export; what is left out stays."""

    interval: str | None = pydantic.Field(
        default=None, description="How often: 5m, 15m, hour, 6h, day, week, a cron expression, or none (by hand alone)."
    )
    time_zone: str | None = pydantic.Field(default=None, description="Whose calendar, by the IANA's names.")
    offset: str | None = pydantic.Field(default=None, description="How much later it is due: 30m, 3h.")
    jitter: str | None = pydantic.Field(default=None, description="A run begins up to so much later: 2m.")
    start_at: str | None = pydantic.Field(default=None, description="No interval before is run; or none.")
    end_at: str | None = pydantic.Field(default=None, description="No interval after is run; or none.")
    missed: Literal["each", "join"] | None = pydantic.Field(
        default=None, description="Intervals that were missed: run each, or join them."
    )
    pause_after: str | None = pydantic.Field(
        default=None, description="It is paused after so many failures: 10, 10/2d, or none."
    )
    delivery: Literal["load", "storage-write"] | None = pydantic.Field(
        default=None, description="How the rows of a run get to BigQuery."
    )
    include_events: list[str] | None = pydantic.Field(default=None, description="Only events of these names.")
    exclude_events: list[str] | None = pydantic.Field(default=None, description="No events of these names.")
    run_log: bool | None = pydantic.Field(
        default=None, description="Each run writes a row into the table tidemill_runs beside it."
    )
    verify_days: str | int | None = pydantic.Field(
        default=None, description="Once a day so many of the last days are verified: a number, all, or none."
    )
    reject_share: str | None = pydantic.Field(
        default=None, description="People are told of a run that sets aside more: 5%, 0 (any), none."
    )
    max_bytes_billed: str | int | None = pydantic.Field(
        default=None, description="Most bytes that one statement may be billed for: 20GB, a number, or none."
    )
    buffer_bytes: str | int | None = pydantic.Field(default=None, description="Of a stream: how much is sent at once.")
    buffer_seconds: float | None = pydantic.Field(
        default=None, description="Of a stream: so long events are waited for, if there are fewer bytes."
    )
    elements_on_any_event: bool | None = pydantic.Field(
        default=None, description="Keep `elements` on all events, not on $autocapture alone. Default: not in a stream."
    )
    name: str | None = pydantic.Field(default=None, description="A new name.")


class ExportCreated(Model):
    """A new export."""

    id: UUID
    name: str
    connection: str
    target: str = pydantic.Field(description="project.dataset.table")
    spec: ExportSpec = pydantic.Field(description="All that was said of it, with what was left out.")
    created_at: datetime
    created_by: str
    updated_at: datetime
    remarks: list[str] = pydantic.Field(description="On what was understood.")


class ExportItemAnswer(Model):
    """An export in a list."""

    id: UUID
    name: str
    connection: str
    model: str
    target: str = pydantic.Field(description="project.dataset.table")
    mode: str
    interval: str | None = pydantic.Field(description="null: it is a stream.")
    is_running: bool
    paused_at: datetime | None
    paused_by: str | None
    last_status: str | None = pydantic.Field(description="How the last run ended that exports what is new.")
    last_finished_at: datetime | None
    last_rows: int | None
    last_sent_at: datetime | None = pydantic.Field(description="Of a stream.")
    next_run_at: datetime | None
    trouble: TroubleAnswer | None = pydantic.Field(description="Why it was paused, or cannot go on at the moment.")
    created_at: datetime
    created_by: str


class ExportSpec(Model):
    """One export. Model, table and JSON type are fixed once it is made; the rest can be edited."""

    name: str = pydantic.Field(description="Unique name of the export.")
    model: str = pydantic.Field(default="events", description="What is exported; see `tidemill model list`.")
    table: str = pydantic.Field(description="Table id, without project and dataset.")
    schedule: Schedule | None = pydantic.Field(
        default=None, description="When it runs by itself, while tidemill serve does."
    )
    delivery: str = pydantic.Field(default="load", description="How the rows of a run get to BigQuery.")
    json_type: bool = pydantic.Field(default=False, description="JSON columns of type JSON instead of STRING.")
    include_events: list[str] = pydantic.Field(default=[], description="Only events of these names.")
    exclude_events: list[str] = pydantic.Field(default=[], description="No events of these names.")
    team_id: int | None = pydantic.Field(default=None, description="Only events of this team.")
    partition_by: Partitioning | None = pydantic.Field(default=None, description="Partitioning of a new table.")
    cluster_by: list[str] = pydantic.Field(default=[], description="Clustering of a new table: up to four columns.")
    partition_expiration_days: int | None = pydantic.Field(
        default=None, description="So many days after its end a partition of a new table vanishes."
    )
    table_expiration_days: int | None = pydantic.Field(
        default=None, description="So many days after it is made a new table vanishes, with all rows."
    )
    query: Query | None = pydantic.Field(
        default=None, description="The query whose rows are exported, of the custom model."
    )
    run_log: bool = pydantic.Field(
        default=False, description="Each run writes a row into the table tidemill_runs beside it."
    )
    verify_days: int | None = pydantic.Field(
        default=None, description="Once a day a run verifies so many of the last days; 0: all of them."
    )
    reject_share: float = pydantic.Field(
        default=0.01, description="People are told of a run that sets aside more of its rows; 1: never."
    )
    max_bytes_billed: int | None = pydantic.Field(
        default=None, description="Most bytes that one statement of the export may be billed for."
    )
    mode: str = pydantic.Field(default="batch", description="By runs, or as a stream: rows are appended as they come.")
    buffer_bytes: int = pydantic.Field(default=4000000, description="Of a stream: bytes that are sent at once.")
    buffer_seconds: float = pydantic.Field(
        default=1.0, description="Of a stream: so long events are waited for, if there are fewer bytes."
    )
    elements_on_any_event: bool | None = pydantic.Field(
        default=None, description="Keep `elements` on all events, not on $autocapture alone. Default: not in a stream."
    )


class ExportStatus(Model):
    """How an export stands."""

    name: str
    last_status: str | None = pydantic.Field(
        description="That of its last run, or interrupted, paused, in trouble; of a stream: streaming, not streamed."
    )
    last_finished_at: datetime | None
    last_sent_at: datetime | None
    waiting_rows: int = pydantic.Field(description="Rows that the next run brings.")
    lag_seconds: float = pydantic.Field(description="For how long the oldest of them has waited.")
    set_aside: int = pydantic.Field(description="Rows that runs could not deliver.")
    trouble: str | None
    what_to_do: str | None
    paused: str | None = pydantic.Field(description="Since when, and by whom.")
    next_run_at: datetime | None
    queued_intervals: int
    missing_intervals: list[tuple[datetime, datetime]]
    overdue_since: datetime | None
    last_verified_at: datetime | None
    last_verified: str | None
    in_doubt_since: datetime | None
    totals: TotalsAnswer


class ExportTestAnswer(Model):
    """What a test of an export found."""

    passed: bool
    steps: list[StepAnswer]
    upload: UploadedAnswer | None = pydantic.Field(description="null: no row was read.")


class ExportWanted(Wanted):
    """A new export. What is left out is as the model has it."""

    interval: str | None = pydantic.Field(
        default=None, description="How often: 5m, 15m, hour, 6h, day, week, a cron expression, or none (by hand alone)."
    )
    time_zone: str | None = pydantic.Field(default=None, description="Whose calendar, by the IANA's names.")
    offset: str | None = pydantic.Field(default=None, description="How much later it is due: 30m, 3h.")
    jitter: str | None = pydantic.Field(default=None, description="A run begins up to so much later: 2m.")
    start_at: str | None = pydantic.Field(default=None, description="No interval before is run; or none.")
    end_at: str | None = pydantic.Field(default=None, description="No interval after is run; or none.")
    missed: Literal["each", "join"] | None = pydantic.Field(
        default=None, description="Intervals that were missed: run each, or join them."
    )
    pause_after: str | None = pydantic.Field(
        default=None, description="It is paused after so many failures: 10, 10/2d, or none."
    )
    delivery: Literal["load", "storage-write"] | None = pydantic.Field(
        default=None, description="How the rows of a run get to BigQuery."
    )
    include_events: list[str] | None = pydantic.Field(default=None, description="Only events of these names.")
    exclude_events: list[str] | None = pydantic.Field(default=None, description="No events of these names.")
    run_log: bool | None = pydantic.Field(
        default=None, description="Each run writes a row into the table tidemill_runs beside it."
    )
    verify_days: str | int | None = pydantic.Field(
        default=None, description="Once a day so many of the last days are verified: a number, all, or none."
    )
    reject_share: str | None = pydantic.Field(
        default=None, description="People are told of a run that sets aside more: 5%, 0 (any), none."
    )
    max_bytes_billed: str | int | None = pydantic.Field(
        default=None, description="Most bytes that one statement may be billed for: 20GB, a number, or none."
    )
    buffer_bytes: str | int | None = pydantic.Field(default=None, description="Of a stream: how much is sent at once.")
    buffer_seconds: float | None = pydantic.Field(
        default=None, description="Of a stream: so long events are waited for, if there are fewer bytes."
    )
    elements_on_any_event: bool | None = pydantic.Field(
        default=None, description="Keep `elements` on all events, not on $autocapture alone. Default: not in a stream."
    )
    name: str = pydantic.Field(description="Unique name of the export.")
    connection: str = pydantic.Field(description="Name of the connection.")
    model: str | None = pydantic.Field(default=None, description="What is exported. Default: events.")
    table: str | None = pydantic.Field(default=None, description="Table id, or dataset.table.")
    mode: Literal["batch", "stream"] = pydantic.Field(
        default="batch", description="By runs, or as a stream: rows are appended as they come."
    )
    json_type: bool | None = pydantic.Field(default=None, description="JSON columns of type JSON instead of STRING.")
    team_id: int | None = pydantic.Field(default=None, description="Only events of this team.")
    partition_by: PartitioningWanted | None = pydantic.Field(
        default=None, description="Partitioning of a new table. null: none; left out: the model's."
    )
    cluster_by: list[str] | None = pydantic.Field(
        default=None, description="Clustering of a new table: up to four columns."
    )
    partition_expiration_days: int | None = pydantic.Field(
        default=None, description="So many days after its end a partition of a new table vanishes."
    )
    table_expiration_days: int | None = pydantic.Field(
        default=None, description="So many days after it is made a new table vanishes, with all rows."
    )
    sql: str | None = pydantic.Field(default=None, description="A query over the event store instead of a model.")
    key: list[str] | None = pydantic.Field(default=None, description="Of a query: columns by which rows merge.")
    versions: list[str] | None = pydantic.Field(
        default=None, description="Of a query with a key: the row with the greatest of these stays."
    )


class Partitioning(Model):
    """By which TIMESTAMP column a new table is partitioned."""

    column: str
    granularity: str = pydantic.Field(default="DAY")


class PartitioningWanted(Wanted):
    """By which column a new table is partitioned."""

    column: str
    granularity: Literal["HOUR", "DAY", "MONTH", "YEAR"] = pydantic.Field(default="DAY")


class Query(Model):
    """A query of one's own. `columns`: what it gives, as it was when the export was made."""

    sql: str
    columns: list[QueryColumn]
    key: list[str] = pydantic.Field(default=[])
    versions: list[str] = pydantic.Field(default=[])


class QueryColumn(Model):
    """A column of a query."""

    name: str
    type: str
    json_text: bool = pydantic.Field(default=False)
    repeated: bool = pydantic.Field(default=False)


class RepairAnswer(Model):
    """What was found, and what is done about it."""

    verified: VerifiedAnswer
    backfill: BackfillAnswer | None = pydantic.Field(description="null: the table lacks nothing.")


class SetAsideAnswer(Model):
    """A row that would be set aside."""

    id: str
    code: str
    message: str


class TotalsAnswer(Model):
    """Of all runs of an export that are over; rows and bytes of those that were completed."""

    runs_completed: int
    runs_failed: int
    runs_cancelled: int
    rows: int
    bytes: int
    rejected: int
    bytes_billed: int
    cost_estimate: float = pydantic.Field(description="In dollars, by list prices.")
    seconds: float
    last_run_seconds: float | None
    covered_until: datetime | None = pydantic.Field(description="All that was acknowledged before is in the table.")


class UnpauseWanted(Wanted):
    """How an export goes on."""

    skip: bool = pydantic.Field(
        default=False, description="Leave out the intervals of the time in which it was paused, with all that came."
    )


class UnpausedAnswer(Model):
    """What was left out."""

    rows_left_out: int


class UploadedAnswer(Model):
    """What a test upload has sent."""

    target: str = pydantic.Field(description="Where the rows of the export go: project.dataset.table")
    is_there: bool = pydantic.Field(description="That table is there already; its columns were looked at.")
    scratch: str = pydantic.Field(description="The table that was made for the test, and is deleted.")
    rows: int = pydantic.Field(
        description="The newest of the export; 0: it has none yet, and a row without values was sent."
    )
    returned: int | None = pydantic.Field(description="That came back; null: it did not come so far.")
    different: int | None = pydantic.Field(description="That are not as they were sent.")
    set_aside: int = pydantic.Field(description="So many more would be set aside.")
    reasons: list[SetAsideAnswer] = pydantic.Field(description="The first of these.")
    columns: list[str]
    first: list[list[str | None]] = pydantic.Field(
        description="Some of the rows: values as texts, cut to 200 characters."
    )
    seconds: float


class VerifiedAnswer(Model):
    """What was found."""

    export: str
    table: str
    since: date | None
    days: int
    expected: int
    rows: int
    different: list[DayAnswer]
    bytes_billed: int
    notes: list[str]
    set_aside: int


class VerifyWanted(Wanted):
    """What is to be verified."""

    days: int | None = pydantic.Field(default=None, description="So many of the last days; left out: all.")
