"""What the service tells the shells about exports and runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

from tidemill.exports.costs import Totals
from tidemill.exports.schedules.due import Due
from tidemill.exports.spec import ExportSpec
from tidemill.schedules import telling
from tidemill.store import records

#: How an export stands, beside the states of its last run.
IN_TROUBLE, STREAMING, NOT_STREAMED, PAUSED = "in trouble", "streaming", "not streamed", "paused"
INTERRUPTED, FAILED = "interrupted", "failed"
#: What a view has as the user said it.
_AS_SAID = (
    *("mode", "json_type", "run_log", "include_events", "exclude_events", "team_id", "cluster_by", "max_bytes_billed"),
    *("partition_expiration_days", "table_expiration_days", "all_elements"),
)


@dataclasses.dataclass(frozen=True)
class ExportView:
    """An export, with how its last run ended and how many events wait for the next one.

    `last_status` of a stream: streaming (a process holds it), in trouble, or not streamed; of another export, that of
    its last run (see RunView), or None. `interval`, `delivery`: those of runs, so a stream has none.
    """

    id: uuid.UUID
    name: str
    model: str
    connection: str
    target: str
    interval: str | None
    mode: str
    delivery: str | None
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
    reject_share: str
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
    #: Rows that runs set aside, and that no later run tried again.
    set_aside: int
    #: Of a stream: how much is sent at once, after how long; and when it sent last.
    buffer: str | None
    all_elements: bool
    last_sent_at: dt.datetime | None
    #: Why a stream stands still, or why the last run failed.
    trouble: str | None
    #: About that; or about a run that was interrupted, or rows that wait and that nobody streams.
    what_to_do: str | None
    #: Of its schedule: since when it is paused, and by whom; when its next run begins; intervals that have ended and
    #: whose run is not completed; spans of time that no run was made for.
    paused: str | None
    next_run_at: dt.datetime | None
    queued_intervals: int
    missing_intervals: tuple[tuple[dt.datetime, dt.datetime], ...]
    #: Since when a run should have begun, and has not.
    overdue_since: dt.datetime | None
    totals: Totals
    #: When the backup was made that was restored, since when it is in doubt what the table holds: rows are merged.
    in_doubt_since: dt.datetime | None


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

    `status`: running, interrupted (it would be running, but the process that moved it is gone), completed, failed or
    cancelled. `kind`: new, stream, backfill (a range again) or again (rows that were set aside, or sent before).
    `merge_job_id`: of the MERGE that brought the rows in, of a run with one. `cost_estimate`: see costs.of_run.
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
    cost_estimate: float
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
    set_aside: int,
    stream: records.Stream | None,
    waits_since: dt.datetime | None,
    due: Due | None,
    *,
    moved: bool,
    interrupted: bool,
    totals: Totals,
    doubt: dt.datetime | None = None,
) -> ExportView:
    """The view of an export. `connection`: its name; `last`: its newest run; `verified`: its newest verification;
    `set_aside`: rows; `waits_since`: when the oldest event that it has not sent was acknowledged; `moved`: whether a
    process has its stream; `interrupted`: whether the last run is not over, and nobody moves it; `doubt`: see
    in_doubt_since."""
    made = ExportSpec.model_validate(export.spec)
    if made.streams:
        trouble = stream.trouble if stream else None
        status: str | None = _stream_status(trouble, moved=moved)
        advice = _stream_advice(export, trouble, waiting_rows, moved=moved)
    else:
        trouble = (due.pause_reason or due.trouble) if due else None
        status = _run_status(last, due, interrupted=interrupted)
        advice = _run_advice(export, last, due, status)
    return ExportView(
        id=export.id,
        name=export.name,
        model=export.model,
        connection=connection,
        target=target(export),
        interval=None if made.streams else str(made.schedule),
        **{name: getattr(made, name) for name in _AS_SAID},
        delivery=None if made.streams else made.delivery,
        reject_share=telling.share_text(made.reject_share) if made.reject_share < 1 else "none",
        verify_daily=_days(made.verify_days),
        last_verified_at=verified.created_at if verified else None,
        last_verified=_told(verified) if verified else None,
        sql=made.query.sql if made.query else None,
        key=made.definition.key,
        versions=made.definition.versions,
        partition_by=_partitioning(made),
        **{name: getattr(export, name) for name in ("created_at", "created_by", "position")},
        last_status=status,
        last_finished_at=last.finished_at if last else None,
        waiting_rows=waiting_rows,
        lag_seconds=_age(waits_since) if waiting_rows else 0.0,
        set_aside=set_aside,
        buffer=f"{made.buffer_bytes:,} bytes or {made.buffer_seconds:g} s" if made.streams else None,
        last_sent_at=stream.sent_at if stream else None,
        trouble=trouble["message"] if trouble else last.error_message if last and status == FAILED else None,
        what_to_do=advice,
        **_of_schedule(due),
        totals=totals,
        in_doubt_since=doubt,
    )


def _partitioning(made: ExportSpec) -> str:
    found = made.partition_by
    return f"{found.column} by {found.granularity.lower()}" if found else "none"


def _of_schedule(due: Due | None) -> dict[str, Any]:
    """The fields that tell how a schedule stands; of a stream, which has none."""
    return {
        "paused": _paused(due) if due and due.paused_at else None,
        "next_run_at": due.next_at if due else None,
        "queued_intervals": due.queued if due else 0,
        "missing_intervals": due.missing if due else (),
        "overdue_since": due.overdue if due else None,
    }


def _paused(due: Due) -> str:
    return f"since {due.paused_at:%Y-%m-%d %H:%M:%S} UTC, by {due.paused_by}"


def _age(moment: dt.datetime | None) -> float:
    return max(0.0, round((dt.datetime.now(dt.UTC) - moment).total_seconds(), 1)) if moment else 0.0


def _stream_status(trouble: dict[str, str] | None, *, moved: bool) -> str:
    return IN_TROUBLE if trouble else STREAMING if moved else NOT_STREAMED


def _run_status(last: records.Run | None, due: Due | None, *, interrupted: bool) -> str | None:
    """That of the last run, unless the schedule is paused, or another run could not be begun."""
    status = INTERRUPTED if interrupted else last.status if last else None
    if due and due.paused_at:
        return PAUSED
    return IN_TROUBLE if due and due.trouble and status != FAILED else status


def _stream_advice(export: records.Export, trouble: dict[str, str] | None, waiting: int, *, moved: bool) -> str | None:
    """What to do about a stream, if something is to be done."""
    said = [trouble["hint"]] if trouble and trouble["hint"] else []
    if (waiting or trouble) and not moved:
        said.append(f"No process streams it: tidemill serve does, or tidemill export stream {export.name}")
    return "\n".join(said) or None


def _run_advice(export: records.Export, last: records.Run | None, due: Due | None, status: str | None) -> str | None:
    """What to do about a last run, or one that could not be begun, if something is to be done."""
    found = due and (due.pause_reason or due.trouble)
    if due and due.paused_at:
        said = (found["hint"] if found else "", f"Go on: tidemill export unpause {export.name}")
        return "\n".join(filter(None, said))
    if found:
        return found["hint"] or None
    if status == INTERRUPTED:
        return f"tidemill export run {export.name} goes on with it."
    if status == FAILED and last is not None:
        return "\n".join(filter(None, (last.error_hint, f"Then: tidemill export run {export.name}")))
    return None


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
    if run.backfill_id:
        return "backfill"
    return "again" if run.snapshot_after == run.snapshot_upto and not run.scheduled else "new"


def run_view(
    run: records.Run,
    export: records.Export,
    chunks: list[records.Chunk],
    cost: float,
    rejects: tuple[tuple[str, str, str], ...] = (),
    *,
    interrupted: bool = False,
) -> RunView:
    """The view of a run. `interrupted`: whether it is not over, and nobody moves it."""
    is_running = run.status == "running" and not interrupted
    ended = run.finished_at or (dt.datetime.now(dt.UTC) if is_running else None)
    return RunView(
        **{
            name: getattr(run, name)
            for name in (
                *("id", "number", "mode", "attempt", "snapshot_after", "snapshot_upto", "rows_planned"),
                "bytes_billed",
                *("interval_start", "interval_end", "created_at", "created_by", "started_at", "finished_at"),
                *("error_code", "error_message", "error_hint"),
            )
        },
        status=INTERRUPTED if interrupted else run.status,
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
        cost_estimate=cost,
        rejects=rejects,
    )
