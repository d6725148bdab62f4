"""Imports as they are shown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

from tidemill.imports.spec import ImportSpec, Taken
from tidemill.imports.verdicts import Verdict, Wrong
from tidemill.reverse_etl.views import RunView, SyncView

#: From what share of rows on, in per cent, an import is how healthy (research on Amplitude and CleverTap, section 4.2).
_HEALTH = ((100.0, "green"), (50.0, "yellow"), (0.0, "red"))


@dataclasses.dataclass(frozen=True)
class ImportView:
    """An import. `status`: draft, ready, scheduled, running, paused, stopped or completed; `health`: green, yellow,
    red, or None before the first run is over; `succeeded`: the share of its last run's rows that it took, in per
    cent."""

    id: uuid.UUID
    name: str
    kind: str | None
    connection: str
    model: str
    spec: ImportSpec | None
    extraction: str
    mode: str
    cursor: str | None
    cursor_overlap: int
    interval: str
    once: bool
    max_bytes_billed: int | None
    status: str
    health: str | None
    succeeded: float | None
    next_at: dt.datetime | None
    pause_reason: dict[str, str] | None
    rejects: dict[str, int]
    last: RunView | None
    made_at: dt.datetime
    made_by: str

    @classmethod
    def of(
        cls, sync: SyncView, connection: str, told: RunView | None, max_bytes_billed: int | None = None
    ) -> ImportView:
        """The view of a sync that is an import. `told`: its last run that looked at rows; `max_bytes_billed`: the limit
        of its model."""
        taken = Taken.model_validate(sync.spec.taken)
        share = succeeded(told)
        schedule = sync.spec.schedule
        return cls(
            id=sync.id,
            name=sync.name,
            kind=taken.spec.kind.value if taken.spec else None,
            connection=connection,
            model=sync.model,
            spec=taken.spec,
            extraction=sync.spec.extraction.value,
            mode=sync.spec.mode.value,
            cursor=sync.spec.cursor,
            cursor_overlap=sync.spec.cursor_overlap,
            once=taken.once,
            max_bytes_billed=min(filter(None, (sync.spec.max_bytes_billed, max_bytes_billed)), default=None),
            interval=schedule.cron or (schedule.interval.value if schedule.interval else "none"),
            status=_status(sync, taken),
            health=None if share is None else next(name for least, name in _HEALTH if share >= least),
            succeeded=share,
            next_at=sync.next_at,
            pause_reason=sync.pause_reason,
            rejects=sync.rejects,
            last=sync.last,
            made_at=sync.made_at,
            made_by=sync.made_by,
        )


#: How an import stands.
STATUSES = ("draft", "ready", "scheduled", "running", "paused", "stopped", "completed")
#: Why an import is stopped, as the reason of its pause.
STOPPED = "stopped"


def _status(sync: SyncView, taken: Taken) -> str:
    if taken.spec is None:
        return "draft"
    if sync.status == "running":
        return "running"
    if sync.status == "paused":
        return "stopped" if (sync.pause_reason or {}).get("code") == STOPPED else "paused"
    if is_through(sync, taken):
        return "completed"
    return "scheduled" if sync.next_at is not None else "ready"


def is_through(sync: SyncView, taken: Taken) -> bool:
    """Whether it is to be run once, and was."""
    return taken.once and sync.last is not None and sync.last.status == "completed"


def succeeded(run: RunView | None) -> float | None:
    """The share of a run's rows that it took, in per cent: rounded down, so that 100 is all. None before it is over."""
    if run is None or run.status == "running":
        return None
    rows = run.extracted + run.invalid
    if not rows:
        return None if run.status == "failed" else 100.0
    return int(run.written * 10_000 / rows) / 100


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a run would do, by random rows: `rows` of them, `good` that would be taken, and `left_out` as of people who
    are not known; a verdict for each mapped
    column; errors by row; some of what would be stored. `written`: whether these rows were taken in."""

    rows: int
    good: int
    left_out: int
    verdicts: tuple[Verdict, ...]
    errors: tuple[Wrong, ...]
    stored: tuple[dict[str, Any], ...]
    counts: dict[str, int]
    bytes_billed: int
    dollars: float
    written: bool
