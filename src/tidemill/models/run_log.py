"""The run log: a table beside those that are exported into, for jobs that wait until rows are there."""

from __future__ import annotations

from tidemill.models.model import Column, Model
from tidemill.models.types import Type

RUN_LOG = Model(
    name="run_log",
    title="Runs",
    description="One row for each run of an export that is done, and for each time that there was nothing to export.",
    columns=(
        Column("run_id", Type.STRING, "The id of the run; NULL if there was nothing to export."),
        Column("export", Type.STRING, "The name of the export, as it was then."),
        Column("model", Type.STRING, "What was exported."),
        Column("table_name", Type.STRING, "The table that it was exported into: project.dataset.table."),
        Column(
            "kind",
            Type.STRING,
            "new: what was new. backfill: a range again. again: rows that were set aside, or a run once more.",
        ),
        Column("status", Type.STRING, "completed, or empty if there was nothing to export."),
        Column("covers_until", Type.TIMESTAMP, "All events acknowledged before this moment are in; NULL but for new."),
        Column("interval_start", Type.TIMESTAMP, "First commit of the run; of a backfill, the start of event time."),
        Column("interval_end", Type.TIMESTAMP, "Last commit of the run; of a backfill, the end of event time."),
        Column("row_count", Type.INT64, "Rows that were added or replaced."),
        Column("rows_set_aside", Type.INT64, "Rows that could not be delivered, and are kept with their reasons."),
        Column("file_bytes", Type.INT64, "Bytes of the files that were loaded, or of the rows that were sent."),
        Column("bytes_billed", Type.INT64, "Bytes that the run's statements were billed for."),
        Column("job_ids", Type.STRING, "The BigQuery jobs, or write streams, that brought the rows.", repeated=True),
        Column("started_at", Type.TIMESTAMP, "When the run began."),
        Column("logged_at", Type.TIMESTAMP, "When this row was written."),
    ),
    key=("run_id",),
    partition_by="logged_at",
    cluster_by=("export",),
    table="tidemill_runs",
)
