"""The run log: when a run has brought all its rows, it says so in a table of the same dataset, if that is wanted.

A run's row is written by one INSERT whose job has the run's id: whoever tries again finds the job. It is written before
the run is called completed, so no completed run lacks its row; a run whose row cannot be written has failed, with all
its rows in, and going on with it writes just that. An INSERT needs no right to read, and is not among the changes of a
table that BigQuery counts ("Quotas": Tables; DML statements).
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from tidemill.bigquery import names, sql, tables
from tidemill.bigquery.client import Client
from tidemill.errors import ConfigError
from tidemill.exports import told, views
from tidemill.exports.spec import ExportSpec
from tidemill.exports.work import Parts
from tidemill.models.run_log import RUN_LOG
from tidemill.store.records import Export


def write(parts: Parts, run_id: str, attempt: int) -> str | None:
    """Write the run's row. Gives the id of its job; None if no log is wanted."""
    work = parts.work(run_id, attempt)
    if not ExportSpec.model_validate(work.export.spec).run_log:  # as it says now: a run that failed here can end then
        return None
    run = work.run
    parts.watches.report(run.id, "writing the log")
    chunks = parts.runs.chunks(run.id)
    jobs = [*(chunk.job_id for chunk in chunks), run.merge_job]
    fields = {
        "run_id": str(run.id),
        "kind": views.kind(run),
        "status": "completed",
        "covers_until": run.covers_until,
        "interval_start": run.interval_start,
        "interval_end": run.interval_end,
        "row_count": sum(chunk.rows_loaded for chunk in chunks) if run.rows_merged is None else run.rows_merged,
        "rows_set_aside": sum(chunk.rows_rejected for chunk in chunks),
        "file_bytes": sum(chunk.bytes for chunk in chunks),
        "bytes_billed": run.bytes_billed,
        "job_ids": [job for job in jobs if job],
        "started_at": run.started_at,
    }
    client = parts.watches.client(run.id, work.export)
    job_id = _job_id(work.export, run.id)
    _insert(client, work.export, fields, job_id, work.labels)
    told.done("The row in tidemill_runs is written.", job=job_id)
    return job_id


def nothing(parts: Parts, export: Export, asked_at: dt.datetime) -> None:
    """Say that there was nothing to export: all that was acknowledged before `asked_at` is in."""
    fields = {"kind": "new", "status": "empty", "covers_until": asked_at, "row_count": 0, "started_at": asked_at}
    with parts.watches.planning(export) as client:
        client.locate(export.dataset)
        labels = {"tidemill_export": names.label(export.name)}
        _insert(client, export, fields, _job_id(export, uuid.uuid4()), labels)


def _job_id(export: Export, run_id: uuid.UUID) -> str:
    return f"tidemill_{export.id.hex}_{run_id.hex}_log"


def _insert(client: Client, export: Export, fields: dict[str, Any], job_id: str, labels: dict[str, str]) -> None:
    place = (export.project, export.dataset, RUN_LOG.table)
    _ensure(client, place, export)
    known = {
        "export": export.name,
        "model": export.model,
        "table_name": f"{export.project}.{export.dataset}.{export.table_id}",
        "logged_at": dt.datetime.now(dt.UTC),
    }
    client.query(
        sql.insert_row(place, {name: value for name, value in {**known, **fields}.items() if value is not None}),
        job_id=job_id,
        permission="bigquery.tables.updateData",
        dataset=export.dataset,
        table=RUN_LOG.table,
        labels=labels,
    )


def _ensure(client: Client, place: sql.Place, export: Export) -> None:
    """Make the table; or see that the one that is there is ours."""
    _, dataset, name = place
    table = client.get_table(dataset, name)
    if table is None:
        layout = tables.Layout(
            RUN_LOG.columns,
            partition=(RUN_LOG.partition_by or "", "DAY"),
            cluster_by=RUN_LOG.cluster_by,
            description=RUN_LOG.description,
        )
        table = client.create_table(dataset, name, layout)
    try:
        missing = tables.match(RUN_LOG.columns, table, ".".join(place)).missing
    except ConfigError:  # what it says is meant for a table that rows are exported into
        missing = tuple(column.name for column in RUN_LOG.columns)
    if missing:
        raise _foreign(place, export, missing)


def _foreign(place: sql.Place, export: Export, missing: tuple[str, ...]) -> ConfigError:
    """The table of that name is none that a log can be written into."""
    run = f"tidemill export run {export.name}"
    without = f"tidemill export edit {export.name} --no-run-log"
    if len(missing) == len(RUN_LOG.columns):
        why, what = "is not one of Tidemill's", "Drop or rename that table: a new one is made then"
    else:
        why, what = f"has no column {', '.join(missing)}", "Add it by hand, or drop or rename that table"
    return ConfigError(
        "run_log_columns",
        f"Only the run log could not be written, all rows are in: the table {'.'.join(place)} {why}.",
        hint=f"{what}; or do without a log: {without}. Then: {run}",
    )
