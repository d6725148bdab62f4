"""Syncs, their runs and rows, as they are shown."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from tidemill.destinations import registry
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.store.records_notify import Cause, Trouble
from tidemill.store.records_sync import Sync, SyncRun, group_of

#: What is shown by itself: `pause_reason`, and `overdue_since`, also where no server looks.
_SHOWN = {Cause.PAUSED, Cause.OVERDUE}


def counted(plan: Mapping[str, Any]) -> dict[str, int]:
    """Rows of a plan as told: each in one of added, updated, deleted, retried, unchanged, invalid and dropped; and
    how many of the first four are extracted, and how many noted."""
    counts: collections.Counter[str] = collections.Counter(plan.get("counts", {}))
    if "retried_updated" not in counts:  # a plan of an older version, which does not say of what kinds they are
        counts["retried"] = 0
    tried = {op: counts[f"retried_{op}"] for op in ("updated", "deleted")}
    tried["added"] = counts["retried"] - sum(tried.values())
    extracted = sum(piece["rows"] for piece in plan.get("pieces", ()))
    return {
        **{op: counts[op] - tried[op] for op in ("added", "updated", "deleted")},
        **{name: counts[name] for name in ("retried", "unchanged", "dropped")},
        "invalid": sum(value for name, value in counts.items() if name.startswith("invalid_")),
        "extracted": extracted,
        "noted": counts["added"] + counts["updated"] + counts["deleted"] - extracted,
    }


@dataclasses.dataclass(frozen=True)
class RunView:
    """A run. Of the rows of the model: `added`, `updated`, `deleted`, `unchanged` since they were delivered; `retried`:
    such as an earlier run had tried already; `invalid`: that cannot be delivered; `dropped`: that somebody gave up.

    `extracted`: those that were to be delivered; `noted`: whose change the mode does not deliver. `written`,
    `rejected`, `to_retry`, `unsent`: what became of those that were to be. So each is in one of them:
    added + updated + deleted + retried = extracted + noted, and extracted = written + rejected + to_retry + unsent.
    `chosen`: that many rows somebody chose, and others were not looked at; None: all were.
    """

    id: uuid.UUID
    sync: str
    number: int
    status: str
    step: str
    chosen: int | None
    added: int
    updated: int
    deleted: int
    retried: int
    unchanged: int
    invalid: int
    dropped: int
    extracted: int
    noted: int
    written: int
    rejected: int
    to_retry: int
    unsent: int
    bytes_billed: int
    error: dict[str, str] | None
    notes: tuple[str, ...]
    began_at: dt.datetime
    began_by: str
    finished_at: dt.datetime | None

    @classmethod
    def of(cls, run: SyncRun, sync: str) -> RunView:
        """The view of a run."""
        counts = counted(run.plan or {})
        return cls(
            id=run.id,
            sync=sync,
            number=run.number,
            status=run.status,
            step=run.step,
            chosen=len(run.spec["only"]) if "only" in run.spec else None,
            **counts,
            written=run.written,
            rejected=run.rejected,
            to_retry=run.to_retry,
            unsent=counts["extracted"] - run.written - run.rejected - run.to_retry,
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

    @classmethod
    def of(
        cls,
        sync: Sync,
        *,
        model: str,
        destination: str,
        kind: str,
        late: bool,
        last: SyncRun | None,
        rejects: dict[str, int],
        troubles: Iterable[Trouble],
    ) -> SyncView:
        """The view of a sync. `kind`: of the destination; `late`: a run should have begun, and nobody has begun it."""
        run = RunView.of(last, sync.name) if last else None
        return cls(
            id=sync.id,
            name=sync.name,
            model=model,
            destination=destination,
            kind=registry.get(kind).title,
            spec=SyncSpec.model_validate(sync.spec),
            status="paused" if sync.paused_at else "running" if run and run.status == "running" else "ready",
            next_at=None if sync.paused_at else sync.next_at,
            overdue_since=sync.next_at if late else None,
            paused_by=sync.paused_by,
            pause_reason=sync.pause_reason,
            pending=sync.pending,
            position=sync.position,
            rejects=rejects,
            last=run,
            troubles=tuple(TroubleView.of(trouble) for trouble in troubles if trouble.cause not in _SHOWN),
            made_at=sync.made_at,
            made_by=sync.made_by,
        )

    @property
    def group(self) -> str:
        """Which commands are about it."""
        return group_of(vars(self.spec))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A dry run: rows as `counted`, with why they are invalid, the fields that some would be sent with, and what it was
    billed for. `resends`: a run would send unchanged rows, too, for it was asked to. `stopped`: why a run would stop
    before it sends anything: code, message, hint. `run_bytes`, `run_dollars`: what a run would be billed for, about: it
    makes the plan once more, and remembers what was delivered."""

    counts: dict[str, int]
    known: int
    samples: tuple[dict[str, Any], ...]
    bytes_billed: int
    dollars: float
    resends: bool = False
    stopped: dict[str, str] | None = None
    run_bytes: int = 0
    run_dollars: float = 0.0


@dataclasses.dataclass(frozen=True)
class Tried:
    """A test record: what was asked of the destination, what it answered, and what became of the row. `status`:
    written, rejected, retry; or failed, for a reason that is not the row's, which `error` says."""

    key: str
    fields: dict[str, Any]
    requests: tuple[dict[str, Any], ...]
    status: str
    message: str
    error: dict[str, str] | None = None
