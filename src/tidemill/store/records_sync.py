"""Records of reverse ETL."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Source:
    """A connection that rows are read from. `state_dataset`: None if it is read-only."""

    connection_id: uuid.UUID
    access: str
    state_dataset: str | None
    location: str | None
    made_at: dt.datetime
    made_by: str


@dataclasses.dataclass(frozen=True)
class SourceModel:
    """A source model."""

    id: uuid.UUID
    name: str
    connection_id: uuid.UUID
    spec: dict[str, Any]
    made_at: dt.datetime
    made_by: str
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Account:
    """An account of a tool. `settings`: what may be shown; `secret`: a JSON object, encrypted; `account`: what it signs
    in as, without a secret."""

    id: uuid.UUID
    name: str
    kind: str
    account: str
    settings: dict[str, Any]
    secret: bytes | None = dataclasses.field(repr=False)
    made_at: dt.datetime
    made_by: str
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Sync:
    """A sync. `columns`: of which the hashes of its state are made; `pending`: what is to be done before
    the next plan: resend, adopt, leave, forget; `position`: of its cursor; `seen`: how the model's tables were
    when it was last gone through; `worker`: who has it now; `failures`: in a row."""

    id: uuid.UUID
    name: str
    model_id: uuid.UUID
    destination_id: uuid.UUID
    spec: dict[str, Any]
    columns: list[str] | None
    pending: str | None
    position: str | None
    seen: str | None
    next_at: dt.datetime | None
    worker: str | None
    tries: int
    failures: int
    paused_at: dt.datetime | None
    paused_by: str | None
    pause_reason: dict[str, str] | None
    made_at: dt.datetime
    made_by: str
    updated_at: dt.datetime

    @property
    def group(self) -> str:
        """Which commands are about it."""
        return group_of(self.spec)


def group_of(spec: Mapping[str, Any]) -> str:
    """Which commands are about a sync with this spec: those of imports, if it goes to this installation."""
    return "sync" if spec.get("taken") is None else "import"


@dataclasses.dataclass(frozen=True)
class SyncRun:
    """A run of a sync. `step`: what is to be done next; `spec`: the sync's and the model's when it began; `plan`:
    counts and pieces; `error`: code, message, hint."""

    id: uuid.UUID
    sync_id: uuid.UUID
    number: int
    status: str
    step: str
    spec: dict[str, Any]
    plan: dict[str, Any] | None
    written: int
    rejected: int
    to_retry: int
    bytes_billed: int
    error: dict[str, str] | None
    notes: list[str]
    cancel_requested: bool
    began_at: dt.datetime
    began_by: str
    finished_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Reject:
    """A row that was not taken, in its last version. `status`: rejected, retry, or invalid. `row`: as it was read.
    `here`: it was refused before it was sent, by the mapping or by a check."""

    id: int
    sync_id: uuid.UUID
    key: str
    op: str
    status: str
    code: str
    message: str
    row: dict[str, Any] | None
    tries: int
    first_run: int
    last_run: int
    last_at: dt.datetime
    here: bool = False
