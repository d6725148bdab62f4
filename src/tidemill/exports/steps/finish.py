"""The last steps: rows of a stage table are merged; the run is completed, or has failed."""

from __future__ import annotations

import contextlib

from tidemill.bigquery import sql
from tidemill.bigquery.tables import Table
from tidemill.errors import TidemillError
from tidemill.events import ends
from tidemill.exports import rejects
from tidemill.exports.steps import turn
from tidemill.exports.work import MERGES, Parts, Work
from tidemill.store.records import Run


def merge(parts: Parts, run_id: str, attempt: int) -> int | None:
    """Of a run with a stage table: bring its rows into the final one. Gives how many rows that changed."""
    work = parts.work(run_id, attempt)
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
        bounds=_bounds(parts, work, table),
    )
    job_id = work.job_id("merge")
    with turn.taken(parts, work, client, job_id):
        answer = client.query(
            MERGES[run.mode](statement),
            job_id=job_id,
            permission="bigquery.tables.updateData",
            dataset=export.dataset,
            table=export.table_id,
            labels=work.labels,
            max_bytes_billed=work.max_bytes_billed,
        )
    parts.runs.note(
        run.id, attempt=attempt, rows_merged=answer.affected or 0, bytes_billed=run.bytes_billed + answer.bytes_billed
    )
    _drop_stage(parts, work)
    return answer.affected


def _bounds(parts: Parts, work: Work, table: Table | None) -> dict[str, sql.Bounds]:
    """What keeps the MERGE from reading all of the table: bounds of the key, and of the event time where that is sure.

    Those of the key are of what was written into the stage. The time is not sure where rows of others may be in the
    table: one with the same key may have another time.
    """
    run, source = work.run, parts.source(work.export)
    clustered = set(table.cluster_by) if table else set()
    chunks = parts.runs.chunks(run.id)
    written = [chunk.bounds or {} for chunk in chunks if chunk.rows_written]
    key = [column for column in work.key if column.name in clustered]
    found: dict[str, sql.Bounds] = dict(ends.joined(key, written))
    partition = table.partition[0] if table and table.partition else None
    if partition and partition == work.model.partition_by and work.again and not parts.runs.merged_first(run.export_id):
        commits = [(c, source.changes(c.snapshot_after, c.snapshot_upto)) for c in chunks]
        times = [(c, one.first_time, one.last_time) for c, many in commits for one in many]
        first = [max(begin, c.time_from or begin) for c, begin, _ in times if begin]
        last = [min(end, c.time_to or end) for c, _, end in times if end]
        if first:
            found[partition] = (min(first), max(last))
    return found


def _drop_stage(parts: Parts, work: Work) -> None:
    stage = work.stage[2]
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
    _remove_folder(parts, work.run)
    parts.watches.report(work.run.id, "done")


def fail(parts: Parts, run_id: str, attempt: int, fields: dict[str, str], cancelled: bool) -> None:
    """The run has failed, or was cancelled."""
    work = parts.work(run_id, attempt)
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
