"""The first step: the table is there and fits, and it is settled which columns are loaded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from tidemill import logbook
from tidemill.bigquery import names, tables
from tidemill.bigquery.client import Client
from tidemill.errors import ConfigError
from tidemill.exports import doubt, told
from tidemill.exports.spec import Delivery, ExportSpec
from tidemill.exports.steps import view
from tidemill.exports.work import Parts, Work
from tidemill.models.model import Column, Model
from tidemill.store import commits
from tidemill.store.records import Export

STAGE_EXPIRES_SECONDS = 24 * 3600


def prepare(parts: Parts, run_id: str, attempt: int) -> dict[str, int]:
    """Make or check the table. Gives the number of chunks; and whether (1 or 0) they go by the Storage Write API, rows
    are merged from a stage, and the run is to be logged."""
    work = _as_said_now(parts, parts.work(run_id, attempt))
    run, export = work.run, work.export
    parts.watches.report(run.id, "preparing the table")
    client = parts.watches.client(run.id, export)
    doubt.await_others(parts, work, client)
    columns = work.model.columns_for(json_type=work.spec.json_type)
    table = client.get_table(export.dataset, export.table_id)
    if table is None and parts.runs.brought_rows(export.id):
        raise gone(export)
    if table is None:
        table = client.create_table(export.dataset, export.table_id, layout(work.spec, export, columns))
        told.done("The table is made.", table=".".join(work.final))
    found = tables.match(columns, table, ".".join(work.final))
    view.ensure(parts, work, client)
    if found.missing:
        logbook.warning("The table lacks columns: they are left out.", columns=", ".join(found.missing))
        parts.runs.remark(
            run.id,
            f"The table has no column {', '.join(found.missing)}: left out. "
            "Add it to the table by hand, and it is filled from then on.",
        )
    if work.staged and run.rows_merged is None:
        _prepare_stage(parts, client, work, found.columns)
    settled = {"columns": [column.name for column in found.columns], "location": client.location}
    settled |= {"partition": list(table.partition) if table.partition else None}
    parts.runs.note(run.id, attempt=attempt, layout=settled, worker=parts.engine.worker)
    logged = ExportSpec.model_validate(export.spec).run_log
    chunks = len(parts.runs.chunks(run.id))
    return {
        "chunks": chunks,
        "storage_write": int(work.storage_write),
        "staged": int(work.staged),
        "logged": int(logged),
    }


def _as_said_now(parts: Parts, work: Work) -> Work:
    """The run; gone on with by load jobs, if that was said since. Of write streams nothing was seen yet then."""
    run, now = work.run, ExportSpec.model_validate(work.export.spec).delivery
    if run.attempt == 1 or run.rows_merged is not None or not work.storage_write or now is not Delivery.LOAD:
        return work
    streams = [chunk.job_id for chunk in parts.runs.chunks(run.id) if chunk.job_id]
    spec = {**run.spec, "delivery": now.value}
    if work.staged:  # into another stage than those of the attempts before
        parts.runs.note(run.id, attempt=run.attempt, spec=spec)
    elif commits.is_begun(run, streams):
        return work
    else:
        parts.runs.commits.forget(run.id, streams, attempt=run.attempt, spec=spec)
    return parts.work(str(run.id), run.attempt)


def gone(export: Export) -> ConfigError:
    """That the table of an export, which has sent rows, is not there."""
    days = ExportSpec.model_validate(export.spec).table_expiration_days
    why = f" It was made to vanish after {days:,} day{'s' if days > 1 else ''}." if days else ""
    return ConfigError(
        "table_gone",
        f"The table {export.project}.{export.dataset}.{export.table_id} is gone, with the rows that this export put "
        f"into it.{why}",
        hint=f"To send all rows again: tidemill export delete {export.name}, and create it anew. "
        "To go on with new rows only: make the table by hand.",
    )


def layout(spec: ExportSpec, export: Export, columns: Sequence[Column]) -> tables.Layout:
    """How a new table of an export is made."""
    partition, days, table_days = spec.partition_by, spec.partition_expiration_days, spec.table_expiration_days
    return tables.Layout(
        tuple(columns),
        partition=(partition.column, partition.granularity.value) if partition else None,
        cluster_by=spec.cluster_by,
        partition_expires=dt.timedelta(days=days) if days else None,
        expires_seconds=table_days * 86_400 if table_days else None,
        description=f"{spec.definition.title}, exported by Tidemill. {spec.definition.description}",
        labels={"tidemill_export": names.label(export.name)},
    )


def assert_keyed(model: Model, columns: set[str]) -> None:
    """Raise ConfigError if rows of a table with these columns cannot be told apart."""
    lacking = [name for name in model.key if name not in columns]
    if lacking:
        raise ConfigError(
            "key_missing",
            f"The table holds rows already, and lacks {', '.join(lacking)}: new rows cannot be told from old.",
            hint="Add the column, or export into another table.",
        )


def _prepare_stage(parts: Parts, client: Client, work: Work, columns: tuple[Column, ...]) -> None:
    assert_keyed(work.model, {column.name for column in columns})
    # Each attempt begins anew with a table of its own: that of an earlier one was dropped, or may have expired.
    parts.runs.reset_chunks(work.run.id, attempt=work.run.attempt)
    stage = tables.Layout(columns, expires_seconds=STAGE_EXPIRES_SECONDS, description="Tidemill: a run's new rows.")
    client.create_table(work.export.dataset, work.stage[2], stage)
    if doubt.remarked(parts, work):
        return
    if not work.again and work.run.mode == "merge" and not (work.run.layout or {}).get("unconfirmed"):
        text = "The table was there before this export's first run: only rows that it lacked were added."
        parts.runs.remark(work.run.id, text)
