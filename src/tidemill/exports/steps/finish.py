"""The last steps: rows of a stage table are merged; the run is completed, or has failed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools

from tidemill import logbook
from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.tables import Table
from tidemill.errors import TidemillError
from tidemill.events import ends
from tidemill.exports import doubt, rejects, told
from tidemill.exports.steps import budget, turn
from tidemill.exports.work import MERGES, Parts, Work
from tidemill.store.records import Run

Slice = tuple[str, sql.Value | None, sql.Value | None]
#: BigQuery: a job modifies 4,000 partitions at most ("Quotas": Tables), and a row that is replaced may lie in another.
_PARTITIONS = 1_900
_SECONDS = {"HOUR": 3600, "DAY": 86400, "MONTH": 28 * 86400, "YEAR": 365 * 86400}


def merge(parts: Parts, run_id: str, attempt: int) -> int | None:
    """Of a run with a stage table: bring its rows into the final one. Gives how many rows that changed."""
    work = parts.work(run_id, attempt)
    run, export = work.run, work.export
    if not work.staged:
        return None
    if run.rows_merged is not None:  # by an attempt that was killed, maybe before it dropped its stage
        for stage in work.stages:
            _drop_stage(parts, work, stage)
        return run.rows_merged
    parts.watches.report(run.id, "merging")
    client = parts.watches.client(run.id, export)
    table = client.get_table(export.dataset, export.table_id)
    statement = sql.Merge(
        work.final,
        work.stage,
        columns=[column.name for column in work.columns],
        key=work.model.key,
        newest=work.newest,
        bounds=_bounds(parts, work, table),
    )
    slices, billed = _slices(parts, work, client)
    with turn.taken(parts, work, client) as took:
        changed = took.changed
        for number, part in enumerate(slices):
            job_id = work.job_id(f"merge{number or ''}")
            parts.runs.note(run.id, attempt=attempt, merge_job=job_id)  # before it begins
            with budget.job(parts, work):
                answer = client.query(
                    MERGES[run.mode](dataclasses.replace(statement, part=part)),
                    job_id=job_id,
                    permission="bigquery.tables.updateData",
                    dataset=export.dataset,
                    table=export.table_id,
                    labels=work.labels,
                    max_bytes_billed=work.max_bytes_billed,
                    cancelled=took.cancelled,
                )
            changed, billed = changed + (answer.affected or 0), billed + answer.bytes_billed
        # Before the turn ends: who has the next one would take the job for one that was left behind.
        parts.runs.note(run.id, attempt=attempt, rows_merged=changed, bytes_billed=run.bytes_billed + billed)
    told.done("The rows are merged.", rows=changed, bytes_billed=billed, job=job_id, statements=len(slices))
    _drop_stage(parts, work, work.stage[2])
    return changed


def _slices(parts: Parts, work: Work, client: Client) -> tuple[list[Slice | None], int]:
    """The parts of the stage that are merged by a statement each, so that none modifies too many partitions; one, of
    all, where that is sure. And the bytes that it cost to find out.
    """
    if work.partition is None:
        return [None], 0
    column, size = work.partition
    written = [chunk.bounds or {} for chunk in parts.runs.chunks(work.run.id) if chunk.rows_written]
    span = None if work.unsure else _span(*ends.joined([column], written).get(column.name, (None, None)))
    if not written or (span is not None and span.total_seconds() / _SECONDS[size] < _PARTITIONS - 1):
        return [None], 0
    answer = client.query(
        sql.partitions(work.stage, column.name, column.type, size),
        job_id=work.job_id("partitions"),
        permission="bigquery.tables.getData",
        dataset=work.export.dataset,
        table=work.stage[2],
        labels=work.labels,
        max_bytes_billed=work.max_bytes_billed,
    )
    starts = [start for (start,) in answer.rows][::_PARTITIONS]
    edges = [None, *starts[1:], None]
    return [(column.name, begin, end) for begin, end in itertools.pairwise(edges)], answer.bytes_billed


def _span(first: sql.Value | None, last: sql.Value | None) -> dt.timedelta | None:
    """The time from one to the other, if they are times."""
    return last - first if isinstance(first, dt.date) and isinstance(last, dt.date) else None


def _bounds(parts: Parts, work: Work, table: Table | None) -> dict[str, sql.Bounds]:
    """What keeps the MERGE from reading all of the table: bounds of the key, and of the event time where that is sure.

    They are of what was written into the stage. The time is not sure where it may change, nor where rows of others may
    be in the table: one with the same key may have another time.
    """
    if work.unsure:
        return {}
    clustered = set(table.cluster_by) if table else set()
    written = [chunk.bounds or {} for chunk in parts.runs.chunks(work.run.id) if chunk.rows_written]
    columns = [column for column in work.key if column.name in clustered]
    timed = work.partition and work.partition[0].name == work.model.partition_by
    if work.partition and timed and work.again and not (work.changing or parts.runs.merged_first(work.run.export_id)):
        columns.append(work.partition[0])
    return dict(ends.joined(columns, written))


def _drop_stage(parts: Parts, work: Work, stage: str) -> None:
    try:
        parts.watches.client(work.run.id, work.export).delete_table(work.export.dataset, stage)
    except TidemillError as error:
        text = f"The table {stage} could not be dropped ({error.message}); it expires within a day."
        parts.runs.remark(work.run.id, text)


def complete(parts: Parts, run_id: str, attempt: int) -> None:
    """The run is completed, and the export's position is at its end."""
    work = parts.work(run_id, attempt)
    if work.again or work.changing:
        rejects.settle(parts, work)
    parts.runs.complete(work.run.id, attempt=attempt)
    with contextlib.suppress(TidemillError):  # it is completed, whatever can be told of it
        _tell_completed(parts, work.run)
    doubt.ends(parts, work)
    _remove_folder(parts, work.run)
    parts.watches.report(work.run.id, "done")


def fail(parts: Parts, run_id: str, attempt: int, fields: dict[str, str], cancelled: bool) -> None:
    """The run has failed, or was cancelled."""
    work = parts.work(run_id, attempt)
    if work.staged and work.prepared:
        _drop_stage(parts, work, work.stage[2])
    error = TidemillError(fields["code"], fields["message"], hint=fields["hint"])
    parts.runs.fail(work.run.id, error, cancelled=cancelled, attempt=attempt)
    how = "The run is cancelled." if cancelled else "The run has failed; its error is above."
    logbook.info(how, code=error.code, seconds=_seconds(work.run))
    _remove_folder(parts, work.run)


def _tell_completed(parts: Parts, run: Run) -> None:
    chunks = parts.runs.chunks(run.id)
    logbook.info(
        "The run is completed.",
        rows=sum(chunk.rows_loaded for chunk in chunks) if run.rows_merged is None else run.rows_merged,
        bytes=sum(chunk.bytes for chunk in chunks),
        rejected=sum(chunk.rows_rejected for chunk in chunks) or None,
        bytes_billed=run.bytes_billed or None,
        seconds=_seconds(run),
    )


def _seconds(run: Run) -> float | None:
    """Since it began."""
    return round((dt.datetime.now(dt.UTC) - run.started_at).total_seconds(), 3) if run.started_at else None


def _remove_folder(parts: Parts, run: Run) -> None:
    folder = parts.folder(run)
    if folder.exists():
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
