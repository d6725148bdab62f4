"""What is sent and answered: syncs. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import ReasonAnswer, Schedule, SyncRunAnswer


class MappingAnswer(Model):
    """A mapping."""

    mapping: dict[str, Any] = pydantic.Field(description="Fields of the action, in the mapping language.")


class SuggestWanted(Wanted):
    """What a mapping is wanted for."""

    model: str = pydantic.Field(description="Name of the source model.")
    destination: str = pydantic.Field(description="Name of the destination.")
    action: str | None = pydantic.Field(default=None, description="What the destination does with rows.")


class SyncAnswer(Model):
    """A sync as it was said. How it stands is at its status."""

    id: UUID
    name: str
    model: str
    destination: str
    kind: str = pydantic.Field(description="What the kind of the destination is called.")
    spec: SyncSpec = pydantic.Field(description="All that was said of it, with what was left out.")
    made_at: datetime
    made_by: str


class SyncChanges(Wanted):
    """What is to be changed of a sync; what is left out stays."""

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
    mode: Literal["insert", "update", "upsert", "delete", "mirror"] | None = pydantic.Field(
        default=None, description="What is delivered: added, updated, deleted rows."
    )
    mapping: dict[str, Any] | None = pydantic.Field(
        default=None, description="Fields of the action, in the mapping language."
    )
    cursor_unit: Literal["none", "seconds", "milliseconds"] | None = pydantic.Field(
        default=None, description="What a number counts since 1970: seconds, milliseconds; none: no time."
    )
    cursor_overlap: int | None = pydantic.Field(
        default=None,
        description="So far back from the newest that was seen rows are looked at again: days of a "
        "DATE, hours of another time, or so much of a number.",
    )
    write_back_days: int | Literal["none"] | None = pydantic.Field(
        default=None, description="Runs and rows are written into the state dataset, for so many days; or none."
    )
    name: str | None = pydantic.Field(default=None, description="Unique name of the sync.")
    reset: Literal["resend", "leave"] | None = pydantic.Field(
        default=None, description="If the mapping changes: send all rows again, or leave what was sent."
    )


class SyncEstimateAnswer(Model):
    """A dry run."""

    counts: dict[str, int] = pydantic.Field(description="Rows, as those of a run; and why some are invalid.")
    known: int = pydantic.Field(description="Rows that were delivered before.")
    samples: list[dict[str, Any]] = pydantic.Field(
        description="Some rows of each operation, with what would be sent of them."
    )
    resends: bool = pydantic.Field(description="A run would send unchanged rows, too.")
    stopped: ReasonAnswer | None = pydantic.Field(description="Why a run would stop before it sends anything.")
    bytes_billed: int
    dollars: float
    run_bytes: int = pydantic.Field(description="What a run would be billed for, about.")
    run_dollars: float


class SyncItem(Model):
    """A sync in a list."""

    name: str
    status: str = pydantic.Field(description="paused, running or ready.")
    next_at: datetime | None
    overdue_since: datetime | None = pydantic.Field(description="When a run should have begun that nobody has begun.")
    paused_by: str | None
    pause_reason: ReasonAnswer | None
    pending: str | None = pydantic.Field(
        description="What is to be done before its next run: resend, leave, adopt, forget."
    )
    position: str | None = pydantic.Field(description="Of its cursor.")
    rejects: dict[str, int] = pydantic.Field(description="Rows that are not delivered, by status.")
    last: SyncRunAnswer | None
    troubles: list[SyncTroubleAnswer]
    id: UUID
    model: str
    destination: str
    kind: str
    made_at: datetime
    made_by: str


class SyncSpec(Model):
    """Rows of a source model on their way into a destination."""

    name: str = pydantic.Field(description="Unique name of the sync.")
    action: str = pydantic.Field(description="What the destination does with rows.")
    mapping: dict[str, Any] = pydantic.Field(description="Fields of the action, in the mapping language.")
    taken: dict[str, Any] | None = pydantic.Field(
        default=None, description="What an import makes of rows (imports.spec)."
    )
    mode: str = pydantic.Field(description="What is delivered: added, updated, deleted rows.")
    extraction: str = pydantic.Field(default="diff", description="How rows are found: diff, cursor, full.")
    cursor: str | None = pydantic.Field(
        default=None, description="Column that grows with each change, of extraction cursor."
    )
    cursor_unit: str = pydantic.Field(
        default="none", description="What a number counts since 1970: seconds, milliseconds; none: no time."
    )
    cursor_overlap: int = pydantic.Field(
        default=0,
        description="So far back from the newest that was seen rows are looked at again: days of a "
        "DATE, hours of another time, or so much of a number.",
    )
    schedule: Schedule | None = pydantic.Field(
        default=None, description="When it runs by itself, while tidemill serve does."
    )
    delete_brake: float = pydantic.Field(
        default=0.2, description="A run that would delete more than this share of the rows stops and asks."
    )
    most_rejects: int = pydantic.Field(default=100000, description="A run in which more rows are refused stops.")
    reject_share: float = pydantic.Field(
        default=0.01, description="People are told of a run in which a larger share is refused; 1: never."
    )
    deviation: float | None = pydantic.Field(
        default=None, description="People are told of a run whose rows differ from the usual by this share."
    )
    write_back_days: int | None = pydantic.Field(
        default=None, description="Runs and rows are written into the state dataset, for so many days."
    )
    max_bytes_billed: int | None = pydantic.Field(
        default=None, description="A run that would be billed for more bytes does not start."
    )


class SyncStatus(Model):
    """How a sync stands."""

    name: str
    status: str = pydantic.Field(description="paused, running or ready.")
    next_at: datetime | None
    overdue_since: datetime | None = pydantic.Field(description="When a run should have begun that nobody has begun.")
    paused_by: str | None
    pause_reason: ReasonAnswer | None
    pending: str | None = pydantic.Field(
        description="What is to be done before its next run: resend, leave, adopt, forget."
    )
    position: str | None = pydantic.Field(description="Of its cursor.")
    rejects: dict[str, int] = pydantic.Field(description="Rows that are not delivered, by status.")
    last: SyncRunAnswer | None
    troubles: list[SyncTroubleAnswer]


class SyncTroubleAnswer(Model):
    """What is wrong with a sync, as people are told."""

    cause: str
    since: datetime
    code: str
    message: str
    what_to_do: str


class SyncWanted(Wanted):
    """A new sync."""

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
    mode: Literal["insert", "update", "upsert", "delete", "mirror"] | None = pydantic.Field(
        default=None, description="What is delivered: added, updated, deleted rows."
    )
    mapping: dict[str, Any] = pydantic.Field(description="Fields of the action, in the mapping language.")
    cursor_unit: Literal["none", "seconds", "milliseconds"] | None = pydantic.Field(
        default=None, description="What a number counts since 1970: seconds, milliseconds; none: no time."
    )
    cursor_overlap: int | None = pydantic.Field(
        default=None,
        description="So far back from the newest that was seen rows are looked at again: days of a "
        "DATE, hours of another time, or so much of a number.",
    )
    write_back_days: int | Literal["none"] | None = pydantic.Field(
        default=None, description="Runs and rows are written into the state dataset, for so many days; or none."
    )
    name: str = pydantic.Field(description="Unique name of the sync.")
    model: str = pydantic.Field(description="Name of the source model.")
    destination: str = pydantic.Field(description="Name of the destination.")
    action: str | None = pydantic.Field(default=None, description="What the destination does with rows.")
    extraction: Literal["diff", "cursor", "full"] | None = pydantic.Field(
        default=None, description="How rows are found: diff, cursor, full."
    )
    cursor: str | None = pydantic.Field(
        default=None, description="Column that grows with each change, of extraction cursor."
    )


class TestRecordAnswer(Model):
    """A row that was sent for a try."""

    key: str
    fields: dict[str, Any] = pydantic.Field(description="What was made of it.")
    requests: list[dict[str, Any]] = pydantic.Field(description="What was asked of the destination, and answered.")
    status: str = pydantic.Field(description="written, rejected, retry; or failed, for a reason that is not the row's.")
    message: str
    error: ReasonAnswer | None


class TestRecordWanted(Wanted):
    """Which row is sent for a try."""

    key: str | None = pydantic.Field(default=None, description="Its key. Default: any that is to be sent.")
