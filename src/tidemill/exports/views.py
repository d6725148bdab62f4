"""What the service tells the shells about exports and runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from tidemill.exports.spec import ExportSpec
from tidemill.store import records


@dataclasses.dataclass(frozen=True)
class ExportView:
    """An export, with how its last run ended and how many events wait for the next one."""

    id: uuid.UUID
    name: str
    model: str
    connection: str
    target: str
    interval: str
    mode: str
    delivery: str
    json_type: bool
    include_events: tuple[str, ...]
    exclude_events: tuple[str, ...]
    team_id: int | None
    partition_by: str
    cluster_by: tuple[str, ...]
    partition_expiration_days: int | None
    table_expiration_days: int | None
    max_bytes_billed: int | None
    run_log: bool
    verify_daily: str
    last_verified_at: dt.datetime | None
    last_verified: str | None
    sql: str | None
    key: tuple[str, ...]
    versions: tuple[str, ...]
    created_at: dt.datetime
    created_by: str
    position: int
    last_status: str | None
    last_finished_at: dt.datetime | None
    waiting_rows: int
    #: For how long the oldest of them has waited.
    lag_seconds: float
    #: Of a stream: how much is sent at once, after how long; when it sent last, and why it stands still.
    buffer: str | None
    all_elements: bool
    last_sent_at: dt.datetime | None
    trouble: str | None


@dataclasses.dataclass(frozen=True)
class ChunkView:
    """One chunk of a run."""

    number: int
    status: str
    rows: int
    rejected: int
    repaired: int
    bytes: int
    job_id: str | None


@dataclasses.dataclass(frozen=True)
class RunView:
    """One run. Snapshots are those of the event store; the interval is when they were committed.

    `kind`: new, stream, backfill (a range again) or again (rows that were set aside, or sent before). `merge_job_id`:
    of the MERGE that brought the rows in, of a run with one.
    """

    id: uuid.UUID
    short_id: str
    export: str
    target: str
    number: int
    kind: str
    status: str
    mode: str
    attempt: int
    snapshot_after: int
    snapshot_upto: int
    interval_start: dt.datetime | None
    interval_end: dt.datetime | None
    rows_planned: int
    rows_done: int
    rows_rejected: int
    rows_repaired: int
    bytes_done: int
    bytes_billed: int
    created_at: dt.datetime
    created_by: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    seconds: float | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    notes: tuple[str, ...]
    chunks: tuple[ChunkView, ...]
    merge_job_id: str | None
    rejects: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class RejectView:
    """A row that a run set aside. `text` is the beginning of the event's properties."""

    id: int
    export: str
    run: str
    uuid: str
    code: str
    message: str
    text: str
    set_aside_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """How far a run is, while it runs."""

    doing: str
    rows_done: int
    rows_planned: int
    chunks_done: int
    chunks: int
    bytes_sent: int


def target(export: records.Export) -> str:
    """The table, as SQL names it."""
    return f"{export.project}.{export.dataset}.{export.table_id}"


def export_view(
    export: records.Export,
    connection: str,
    last: records.Run | None,
    verified: records.Verification | None,
    waiting_rows: int,
    stream: records.Stream | None,
    waits_since: dt.datetime | None,
) -> ExportView:
    """The view of an export. `connection`: its name; `last`: its newest run; `verified`: its newest verification;
    `waits_since`: when the oldest event that it has not sent was acknowledged."""
    made = ExportSpec.model_validate(export.spec)
    partition = made.partition_by
    return ExportView(
        id=export.id,
        name=export.name,
        model=export.model,
        connection=connection,
        target=target(export),
        interval=made.interval,
        mode=made.mode,
        delivery=made.delivery,
        json_type=made.json_type,
        run_log=made.run_log,
        verify_daily=_days(made.verify_days),
        last_verified_at=verified.created_at if verified else None,
        last_verified=_told(verified) if verified else None,
        sql=made.query.sql if made.query else None,
        key=made.definition.key,
        versions=made.definition.versions,
        include_events=made.include_events,
        exclude_events=made.exclude_events,
        team_id=made.team_id,
        partition_by=f"{partition.column} by {partition.granularity.lower()}" if partition else "none",
        cluster_by=made.cluster_by,
        partition_expiration_days=made.partition_expiration_days,
        table_expiration_days=made.table_expiration_days,
        max_bytes_billed=made.max_bytes_billed,
        created_at=export.created_at,
        created_by=export.created_by,
        position=export.position,
        last_status=_status(last, stream),
        last_finished_at=last.finished_at if last else None,
        waiting_rows=waiting_rows,
        lag_seconds=_age(waits_since) if waiting_rows else 0.0,
        buffer=f"{made.buffer_bytes:,} bytes or {made.buffer_seconds:g} s" if made.streams else None,
        all_elements=made.all_elements,
        last_sent_at=stream.sent_at if stream else None,
        trouble=" ".join(filter(None, (stream.trouble["message"], stream.trouble["hint"])))
        if stream and stream.trouble
        else None,
    )


def _age(moment: dt.datetime | None) -> float:
    return max(0.0, round((dt.datetime.now(dt.UTC) - moment).total_seconds(), 1)) if moment else 0.0


def _status(last: records.Run | None, stream: records.Stream | None) -> str | None:
    """How an export stands: as its last run does, unless that is a stream's."""
    if stream is not None and stream.trouble:
        return "in trouble"
    if last is not None and last.mode == "stream" and last.status == "running":
        return "streaming"
    return last.status if last else None


def _days(number: int | None) -> str:
    match number:
        case None:
            return "no"
        case 0:
            return "all days"
        case 1:
            return "the last day"
    return f"the last {number:,} days"


def _told(found: records.Verification) -> str:
    """What a verification found."""
    if not found.days_different:
        return f"{found.rows:,} rows, each there once, none missing"
    parts = [(found.missing, "missing"), (found.duplicated, "there twice"), (found.unexpected, "not expected")]
    what = ", ".join(f"{number:,} {word}" for number, word in parts if number) or "ids differ"
    return f"{found.rows:,} rows, {found.expected:,} expected: {what}"


def kind(run: records.Run) -> str:
    """What a run is for; see RunView."""
    if run.mode == "stream":
        return "stream"
    return "backfill" if run.backfill_id else "again" if run.snapshot_after == run.snapshot_upto else "new"


def run_view(
    run: records.Run,
    export: records.Export,
    chunks: list[records.Chunk],
    rejects: tuple[tuple[str, str, str], ...] = (),
) -> RunView:
    """The view of a run."""
    ended = run.finished_at or (dt.datetime.now(dt.UTC) if run.status == "running" else None)
    return RunView(
        **{
            name: getattr(run, name)
            for name in (
                *("id", "number", "status", "mode", "attempt", "snapshot_after", "snapshot_upto", "rows_planned"),
                "bytes_billed",
                *("interval_start", "interval_end", "created_at", "created_by", "started_at", "finished_at"),
                *("error_code", "error_message", "error_hint"),
            )
        },
        short_id=run.id.hex[:8],
        kind=kind(run),
        export=export.name,
        target=target(export),
        rows_done=run.rows_merged if run.rows_merged is not None else sum(chunk.rows_loaded for chunk in chunks),
        rows_rejected=sum(chunk.rows_rejected for chunk in chunks),
        rows_repaired=sum(chunk.rows_repaired for chunk in chunks),
        bytes_done=sum(chunk.bytes for chunk in chunks if chunk.status == "loaded" or run.mode == "stream"),
        seconds=(ended - run.started_at).total_seconds() if run.started_at and ended else None,
        notes=tuple(run.notes),
        chunks=tuple(
            ChunkView(c.number, c.status, c.rows_loaded, c.rows_rejected, c.rows_repaired, c.bytes, c.job_id)
            for c in chunks
        ),
        merge_job_id=run.merge_job if run.rows_merged is not None else None,
        rejects=rejects,
    )
