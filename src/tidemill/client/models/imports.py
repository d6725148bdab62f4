"""What is sent and answered: imports. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import ReasonAnswer, SyncRunAnswer


class DryRunAnswer(Model):
    """What a run would do, by random rows."""

    rows: int
    good: int = pydantic.Field(description="They would be taken.")
    left_out: int = pydantic.Field(description="As of people who are not known.")
    verdicts: list[VerdictAnswer]
    errors: list[WrongAnswer]
    stored: list[dict[str, Any]] = pydantic.Field(description="Some of what would be stored.")
    counts: dict[str, int]
    bytes_billed: int
    dollars: float
    written: bool = pydantic.Field(description="These rows were taken in.")


class DryRunWanted(Wanted):
    """How an import is tried."""

    rows: int = pydantic.Field(default=100, description="How many, at random, of those that a run would take.")
    write: bool = pydantic.Field(default=False, description="Take these rows in.")


class Ga4Wanted(Wanted):
    """The tables of an export of Google Analytics 4."""

    dataset: str = pydantic.Field(description="Its dataset.")
    since: date | None = pydantic.Field(default=None, description="The first day that is wanted. Default: all.")
    intraday: bool = pydantic.Field(default=True, description="Also days that are not over.")


class ImportAnswer(Model):
    """An import as it was said. How it stands is at its status."""

    id: UUID
    name: str
    kind: str | None = pydantic.Field(description="What rows become; null: that is not said yet.")
    connection: str
    model: str
    spec: ImportSpec | None = pydantic.Field(description="What becomes of rows; null of a draft.")
    extraction: str
    mode: str
    cursor: str | None
    cursor_overlap: int
    interval: str
    once: bool
    max_bytes_billed: int | None
    made_at: datetime
    made_by: str


class ImportChanges(Wanted):
    """What is to be changed of an import; what is left out stays. What becomes of its rows is said by its
    mapping."""

    interval: str | None = pydantic.Field(
        default=None, description="How often: 5m, 15m, hour, 6h, day, week, a cron expression, or none (by hand alone)."
    )
    time_zone: str | None = pydantic.Field(default=None, description="Whose calendar, by the IANA's names.")
    offset: str | None = pydantic.Field(default=None, description="How much later it is due: 30m, 3h.")
    jitter: str | None = pydantic.Field(default=None, description="A run begins up to so much later: 2m.")
    pause_after: str | None = pydantic.Field(
        default=None, description="It is paused after so many failures: 10, 10/2d, or none."
    )
    delete_brake: float | None = pydantic.Field(
        default=None, description="A run that would delete more than this share of the rows stops and asks."
    )
    most_rejects: int | None = pydantic.Field(default=None, description="A run in which more rows are refused stops.")
    reject_share: float | Literal["none"] | None = pydantic.Field(
        default=None, description="People are told of a run in which a larger share is refused; none: never."
    )
    deviation: float | Literal["none"] | None = pydantic.Field(
        default=None, description="People are told of a run whose rows differ from the usual by this share; or none."
    )
    max_bytes_billed: str | int | None = pydantic.Field(
        default=None, description="A run that would be billed for more bytes does not start: 20GB, a number; or none."
    )
    name: str | None = pydantic.Field(default=None, description="Unique name of the sync.")
    once: bool | None = pydantic.Field(default=None, description="It is run once.")


class ImportItem(Model):
    """An import in a list."""

    name: str
    status: str
    health: str | None = pydantic.Field(
        description="By the share of rows that the last run took; null: there was none."
    )
    succeeded: float | None = pydantic.Field(description="That share, in per cent.")
    next_at: datetime | None
    pause_reason: ReasonAnswer | None
    rejects: dict[str, int] = pydantic.Field(description="Rows that were refused, by status.")
    last: SyncRunAnswer | None
    id: UUID
    kind: str | None
    connection: str
    model: str
    interval: str
    once: bool
    made_at: datetime
    made_by: str


class ImportSpec(Model):
    """What is made of rows."""

    kind: str = pydantic.Field(description="What rows become: people, events or deletions.")
    team_id: int = pydantic.Field(default=1, description="Team (project) that they are of.")
    identity: str | None = pydantic.Field(default=None, description="Column with the distinct_id of the person.")
    person_id: str | None = pydantic.Field(
        default=None, description="Instead: column with the person's id in Tidemill."
    )
    event: str | None = pydantic.Field(default=None, description="Name of all events.")
    event_column: str | None = pydantic.Field(default=None, description="Instead: column with the event's name.")
    time: str | None = pydantic.Field(default=None, description="Column with the time of the event (Created On).")
    time_format: str = pydantic.Field(default="auto", description="How the time is written.")
    insert_id: str | None = pydantic.Field(default=None, description="Column with an id by which an event counts once.")
    properties: list[Property] = pydantic.Field(default=[], description="Columns that are kept, each as a property.")
    skipped: list[str] = pydantic.Field(default=[], description="Columns that are left out.")
    existing_only: bool = pydantic.Field(default=False, description="People that are not known are left out.")


class ImportStatus(Model):
    """How an import stands."""

    name: str
    status: str
    health: str | None = pydantic.Field(
        description="By the share of rows that the last run took; null: there was none."
    )
    succeeded: float | None = pydantic.Field(description="That share, in per cent.")
    next_at: datetime | None
    pause_reason: ReasonAnswer | None
    rejects: dict[str, int] = pydantic.Field(description="Rows that were refused, by status.")
    last: SyncRunAnswer | None


class ImportWanted(Wanted):
    """A draft of an import: whose rows it takes. Rows of a source model that there is; or of a connection."""

    name: str = pydantic.Field(description="Unique name of the sync.")
    model: str | None = pydantic.Field(default=None, description="Name of a source model.")
    connection: str | None = pydantic.Field(default=None, description="Instead: name of a source.")
    sql: str | None = pydantic.Field(default=None, description="One SELECT statement.")
    table: str | None = pydantic.Field(
        default=None, description="A table or view: dataset.table, or project.dataset.table."
    )
    key: list[str] | None = pydantic.Field(default=None, description="Columns by which a row is known.")
    max_bytes_billed: str | int | None = pydantic.Field(
        default=None, description="A run that would be billed for more bytes does not start: 20GB, or a number."
    )
    ga4: Ga4Wanted | None = pydantic.Field(
        default=None, description="With a connection: an export of Google Analytics 4."
    )


class MappingWanted(Wanted):
    """What becomes of rows, and how they are found. Each column is mapped or skipped."""

    kind: Literal["people", "events", "deletions"] = pydantic.Field(
        description="What rows become: people, events or deletions."
    )
    team_id: int = pydantic.Field(default=1, description="Team (project) that they are of.")
    identity: str | None = pydantic.Field(default=None, description="Column with the distinct_id of the person.")
    person_id: str | None = pydantic.Field(
        default=None, description="Instead: column with the person's id in Tidemill."
    )
    event: str | None = pydantic.Field(default=None, description="Name of all events.")
    event_column: str | None = pydantic.Field(default=None, description="Instead: column with the event's name.")
    time: str | None = pydantic.Field(default=None, description="Column with the time of the event (Created On).")
    time_format: Literal[
        "auto",
        "epoch-seconds",
        "epoch-milliseconds",
        "epoch-microseconds",
        "dd/MM/yyyy HH:mm:ss",
        "MM/dd/yyyy HH:mm:ss",
        "yyyy/dd/MM HH:mm:ss",
        "yyyy/MM/dd HH:mm:ss",
        "dd MMM yyyy HH:mm:ss",
        "dd/MM/yyyy",
        "MM/dd/yyyy",
        "yyyy/dd/MM",
        "yyyy/MM/dd",
        "ddMMMyyyy",
    ] = pydantic.Field(default="auto", description="How the time is written.")
    insert_id: str | None = pydantic.Field(default=None, description="Column with an id by which an event counts once.")
    properties: list[Property] = pydantic.Field(default=[], description="Columns that are kept, each as a property.")
    skipped: list[str] = pydantic.Field(default=[], description="Columns that are left out.")
    existing_only: bool = pydantic.Field(default=False, description="People that are not known are left out.")
    mode: Literal["insert", "update", "upsert", "mirror"] | None = pydantic.Field(
        default=None, description="What is delivered: added, updated, deleted rows."
    )
    extraction: Literal["diff", "cursor", "full"] | None = pydantic.Field(
        default=None, description="How rows are found: diff, cursor, full."
    )
    cursor: str | None = pydantic.Field(
        default=None, description="Column that grows with each change, of extraction cursor."
    )
    cursor_unit: Literal["none", "seconds", "milliseconds"] | None = pydantic.Field(
        default=None, description="What a number counts since 1970: seconds, milliseconds; none: no time."
    )
    cursor_overlap: int | None = pydantic.Field(
        default=None,
        description="So far back from the newest that was seen rows are looked at again: days of a "
        "DATE, hours of another time, or so much of a number.",
    )
    reset: Literal["resend", "leave"] | None = pydantic.Field(
        default=None, description="What is done with rows that were taken, if their mapping changes."
    )


class Property(Model):
    """A column that is kept as a property."""

    column: str = pydantic.Field(description="Name of the column.")
    name: str = pydantic.Field(description="Name of the property.")
    type: str = pydantic.Field(default="auto", description="What its values are.")
    format: str = pydantic.Field(default="auto", description="How its dates are written.")


class RepairWanted(Wanted):
    """Rows that were refused, repaired."""

    rows: list[RepairedRow] = pydantic.Field(description="Each as it is listed.")


class RepairedAnswer(Model):
    """What became of repaired rows."""

    taken: int
    errors: list[WrongAnswer]


class RepairedRow(Wanted):
    """A row that was refused, repaired. What else is listed of it may be sent along, and counts for nothing."""

    key: str = pydantic.Field(description="As it is listed.")
    row: dict[str, Any] | None = pydantic.Field(description="Its columns.")


class VerdictAnswer(Model):
    """About a column."""

    column: str
    target: str = pydantic.Field(description="The property's name, or distinct_id, event, timestamp or uuid.")
    kind: str = pydantic.Field(description="What it is read as.")
    rows: int
    bad: int = pydantic.Field(description="How many do not fit.")
    read: Any = pydantic.Field(description="A value.")
    stored: Any = pydantic.Field(description="What is kept of it.")
    errors: list[WrongAnswer]


class WrongAnswer(Model):
    """A row of which nothing is made."""

    key: str
    column: str
    code: str
    message: str
