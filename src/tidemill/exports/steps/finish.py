"""The last steps: rows of a stage table are merged; the run is completed, or has failed."""

from __future__ import annotations

import contextlib
import datetime as dt

from tidemill.bigquery import sql
from tidemill.errors import TidemillError
from tidemill.exports import rejects
from tidemill.exports.work import MERGES, Parts, Work
from tidemill.store.records import Run


def merge(parts: Parts, run_id: str) -> int | None:
    """Of a run with a stage table: bring its rows into the final one. Gives how many rows that changed."""
    work = parts.work(run_id)
    run, export = work.run, work.export
    if not work.staged or run.rows_merged is not None:
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
        partition=_bounds(parts, work, table.partition[0] if table and table.partition else None),
    )
    answer = client.query(
        MERGES[run.mode](statement),
        job_id=work.job_id("merge"),
        permission="bigquery.tables.updateData",
        dataset=export.dataset,
        table=export.table_id,
        labels=work.labels,
        max_bytes_billed=work.max_bytes_billed,
    )
    parts.runs.note(run.id, rows_merged=answer.affected or 0)
    _drop_stage(parts, work)
    return answer.affected


def _bounds(parts: Parts, work: Work, partition: str | None) -> tuple[str, dt.datetime, dt.datetime] | None:
    """The range of event time in the run, to keep the MERGE from reading other partitions.

    None if rows of others may be in the table: one with the same key may have another time, in another partition.
    """
    if partition is None or partition != work.model.partition_by:
        return None
    if not work.again or parts.runs.merged_first(work.export.id):
        return None
    first: list[dt.datetime] = []
    last: list[dt.datetime] = []
    for chunk in parts.runs.chunks(work.run.id):
        commits = parts.sources[work.export.model].changes(chunk.snapshot_after, chunk.snapshot_upto)
        times = [(c.first_time, c.last_time) for c in commits if c.first_time and c.last_time]
        first += [max(begin, chunk.time_from or begin) for begin, _ in times]
        last += [min(end, chunk.time_to or end) for _, end in times]
    return (partition, min(first), max(last)) if first else None


def _drop_stage(parts: Parts, work: Work) -> None:
    stage = work.stage[2]
    try:
        parts.watches.client(work.run.id, work.export).delete_table(work.export.dataset, stage)
    except TidemillError as error:
        text = f"The table {stage} could not be dropped ({error.message}); it expires in a week."
        parts.runs.remark(work.run.id, text)


def complete(parts: Parts, run_id: str, attempt: int) -> None:
    """The run is completed, and the export's position is at its end."""
    work = parts.work(run_id)
    if work.again:
        rejects.settle(parts.lake, parts.runs, parts.rejects, work)
    parts.runs.complete(work.run.id, attempt=attempt)
    _remove_folder(parts, work.run)
    parts.watches.report(work.run.id, "done")


def fail(parts: Parts, run_id: str, attempt: int, fields: dict[str, str], cancelled: bool) -> None:
    """The run has failed, or was cancelled."""
    work = parts.work(run_id)
    if work.staged and work.run.rows_merged is None and work.prepared:
        _drop_stage(parts, work)
    error = TidemillError(fields["code"], fields["message"], hint=fields["hint"])
    parts.runs.fail(work.run.id, error, cancelled=cancelled, attempt=attempt)
    _remove_folder(parts, work.run)


def _remove_folder(parts: Parts, run: Run) -> None:
    folder = parts.folder(run)
    if folder.exists():
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
