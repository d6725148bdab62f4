"""What is sent and answered: runs. Written by tests/client_writer.py."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pydantic

from tidemill.client.core import Model, Wanted
from tidemill.client.models.shared import TroubleAnswer


class ChunkAnswer(Model):
    """A chunk of a run."""

    number: int
    status: str
    rows: int
    rejected: int
    repaired: int
    bytes: int
    job_id: str | None = pydantic.Field(description="Of the load job in BigQuery, or the name of the write stream.")


class ExportRunAnswer(Model):
    """A run of an export."""

    id: UUID
    export: str
    number: int
    kind: str = pydantic.Field(
        description="new, stream, backfill, or again (rows that were set aside, or sent before)."
    )
    status: str = pydantic.Field(
        description="running, interrupted (the process that moved it is gone), completed, failed, cancelled."
    )
    is_over: bool = pydantic.Field(description="It stays like that, if nobody tries it again.")
    mode: str = pydantic.Field(description="append, merge, upsert, replace, stream.")
    attempt: int
    backfill: UUID | None
    interval_start: datetime | None
    interval_end: datetime | None
    rows_planned: int
    rows_done: int
    rows_rejected: int = pydantic.Field(description="They could not be delivered, and were set aside.")
    rows_repaired: int
    chunks: int
    chunks_done: int
    bytes_done: int
    bytes_billed: int
    cost_estimate: float = pydantic.Field(description="In dollars, by list prices.")
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    error: TroubleAnswer | None


class ExportRunDetail(Model):
    """A run, with its parts."""

    id: UUID
    export: str
    number: int
    kind: str = pydantic.Field(
        description="new, stream, backfill, or again (rows that were set aside, or sent before)."
    )
    status: str = pydantic.Field(
        description="running, interrupted (the process that moved it is gone), completed, failed, cancelled."
    )
    is_over: bool = pydantic.Field(description="It stays like that, if nobody tries it again.")
    mode: str = pydantic.Field(description="append, merge, upsert, replace, stream.")
    attempt: int
    backfill: UUID | None
    interval_start: datetime | None
    interval_end: datetime | None
    rows_planned: int
    rows_done: int
    rows_rejected: int = pydantic.Field(description="They could not be delivered, and were set aside.")
    rows_repaired: int
    chunks: int
    chunks_done: int
    bytes_done: int
    bytes_billed: int
    cost_estimate: float = pydantic.Field(description="In dollars, by list prices.")
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    error: TroubleAnswer | None
    notes: list[str]
    merge_job_id: str | None
    snapshot_after: int
    snapshot_upto: int
    chunks_detail: list[ChunkAnswer]


class RetryWanted(Wanted):
    """How a run is gone on with."""

    arrived: bool | None = pydantic.Field(
        default=None,
        description="Somebody has looked whether the rows of a commit that BigQuery did not confirm are in the table.",
    )
