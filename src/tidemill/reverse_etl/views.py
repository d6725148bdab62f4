"""Syncs, their runs and rows, as they are shown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

from tidemill.reverse_etl.spec import SyncSpec
from tidemill.store.records_notify import Trouble
from tidemill.store.records_sync import SyncRun


@dataclasses.dataclass(frozen=True)
class RunView:
    """A run. Of the rows of the model: `added`, `updated`, `deleted`, `unchanged` since they were delivered; `invalid`:
    that cannot be. Of those that were to be delivered: `planned` how many, `retried` of them were tried before;
    `written`, `rejected`, `to_retry`: what became of them."""

    id: uuid.UUID
    sync: str
    number: int
    status: str
    step: str
    added: int
    updated: int
    deleted: int
    unchanged: int
    invalid: int
    dropped: int
    retried: int
    planned: int
    written: int
    rejected: int
    to_retry: int
    bytes_billed: int
    error: dict[str, str] | None
    notes: tuple[str, ...]
    began_at: dt.datetime
    began_by: str
    finished_at: dt.datetime | None

    @classmethod
    def of(cls, run: SyncRun, sync: str) -> RunView:
        """The view of a run."""
        plan = run.plan or {}
        counts: dict[str, int] = plan.get("counts", {})
        return cls(
            id=run.id,
            sync=sync,
            number=run.number,
            status=run.status,
            step=run.step,
            **{
                name: counts.get(name, 0) for name in ("added", "updated", "deleted", "unchanged", "dropped", "retried")
            },
            invalid=sum(value for name, value in counts.items() if name.startswith("invalid_")),
            planned=sum(piece["rows"] for piece in plan.get("pieces", ())),
            written=run.written,
            rejected=run.rejected,
            to_retry=run.to_retry,
            bytes_billed=run.bytes_billed,
            error=run.error,
            notes=tuple(run.notes),
            began_at=run.began_at,
            began_by=run.began_by,
            finished_at=run.finished_at,
        )


@dataclasses.dataclass(frozen=True)
class TroubleView:
    """What is wrong with a sync, as people are told. `cause`: one of those of channels."""

    cause: str
    since: dt.datetime
    code: str
    message: str
    what_to_do: str

    @classmethod
    def of(cls, trouble: Trouble) -> TroubleView:
        """The view of a trouble."""
        facts = {"code": "", "message": "", "hint": "", **(trouble.facts or {})}
        return cls(trouble.cause, trouble.began_at, facts["code"], facts["message"], facts["hint"])


@dataclasses.dataclass(frozen=True)
class SyncView:
    """A sync. `rejects`: rows that are not delivered, by status. `pending`: what is to be done before its next run.
    `overdue_since`: when a run should have begun that nobody has begun. `troubles`: of its runs by themselves."""

    id: uuid.UUID
    name: str
    model: str
    destination: str
    kind: str
    spec: SyncSpec
    status: str
    next_at: dt.datetime | None
    overdue_since: dt.datetime | None
    paused_by: str | None
    pause_reason: dict[str, str] | None
    pending: str | None
    position: str | None
    rejects: dict[str, int]
    last: RunView | None
    troubles: tuple[TroubleView, ...]
    made_at: dt.datetime
    made_by: str


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A dry run: rows by what would become of them, how some would be sent, and what the plan is billed for."""

    counts: dict[str, int]
    known: int
    samples: tuple[dict[str, Any], ...]
    bytes_billed: int
    dollars: float


@dataclasses.dataclass(frozen=True)
class Tried:
    """A test record: what was asked of the destination, what it answered, and what became of the row."""

    key: str
    fields: dict[str, Any]
    requests: tuple[dict[str, Any], ...]
    status: str
    message: str
