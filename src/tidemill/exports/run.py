"""A run, from its plan to its end: prepare the table → write and load each chunk → merge → complete.

Each step is remembered by the engine and may run more than once: what it did is found again by the chunk's state, by
the file's name or by the BigQuery job's id. Nothing but these decides what is still to be done. A run that failed or
was cancelled is gone on with by another attempt, which finds the jobs of the attempts before it.
"""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.bigquery import names, sql, tables
from tidemill.bigquery.client import Client
from tidemill.bigquery.jobs import Load
from tidemill.engine.port import Engine
from tidemill.errors import Cancelled, ConfigError, NotFoundError, TidemillError
from tidemill.events import chunks as chunk_files
from tidemill.events.lake import Lake
from tidemill.exports.spec import ExportSpec
from tidemill.exports.watch import Report, Watches
from tidemill.models import registry
from tidemill.models.model import Column
from tidemill.settings import Settings
from tidemill.store.exports import Exports
from tidemill.store.loads import Rejects
from tidemill.store.records import Chunk, Export, Run
from tidemill.store.runs import Runs

WORKFLOW, CHUNK_WORKFLOW = "export-run", "export-chunk"
STAGE_EXPIRES_SECONDS = 7 * 24 * 3600


class Runner:
    """Moves runs. One instance a process."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        engine: Engine,
        exports: Exports,
        runs: Runs,
        rejects: Rejects,
        client_for: Callable[[Export], Client],
    ) -> None:
        self._settings, self._lake, self._engine = settings, lake, engine
        self._exports, self._runs, self._rejects = exports, runs, rejects
        self._watches = Watches(runs, client_for)
        self._writing = threading.Lock()  # DuckDB uses all cores for one chunk; loads go on meanwhile
        engine.register(WORKFLOW, self._workflow)
        engine.register(CHUNK_WORKFLOW, self._chunk_workflow)

    def execute(self, run: Run, report: Report) -> None:
        """Move a run to its end, in this process.

        Raises
        ------
        TidemillError
            Why it failed, or Cancelled. Its state is recorded.
        """
        with self._watches.watching(run.id, report):
            self._engine.start(WORKFLOW, f"{run.id}:{run.attempt}", str(run.id), run.attempt).wait()

    def watching(self, run_id: uuid.UUID, report: Report) -> contextlib.AbstractContextManager[None]:
        """Tell `report` how far the run is, for the time of the block."""
        return self._watches.watching(run_id, report)

    def interrupt(self) -> None:
        """Cancel every run that this process moves."""
        self._watches.interrupt()

    # The workflow. It must not look at anything but its arguments and the results of steps.

    def _workflow(self, run_id: str, attempt: int) -> None:
        step = self._engine.step
        try:
            count = step("prepare", self._prepare, run_id)
            self._move_chunks(run_id, attempt, count)
            step("merge", self._merge, run_id)
            step("complete", self._complete, run_id, attempt)
        except TidemillError as error:
            if error.code in {"worker_lost", "run_taken_over"}:
                raise  # somebody else goes on with the run: it has not failed
            fields = {"code": error.code, "message": error.message, "hint": error.hint}
            step("fail", self._fail, run_id, attempt, fields, isinstance(error, Cancelled))
            raise

    def _move_chunks(self, run_id: str, attempt: int, count: int) -> None:
        """Some chunks at once. If one fails, those that were begun are waited for, and no other is begun."""
        moving: collections.deque[Any] = collections.deque()
        failed: TidemillError | None = None
        for number in range(count):
            if len(moving) >= self._settings.parallel_loads:
                failed = failed or _outcome(moving.popleft())
            if failed:
                break
            child = f"{run_id}:{attempt}:{number}"
            moving.append(self._engine.start(CHUNK_WORKFLOW, child, run_id, attempt, number))
        while moving:
            failed = _outcome(moving.popleft()) or failed
        if failed:
            raise failed

    def _chunk_workflow(self, run_id: str, attempt: int, number: int) -> None:
        self._engine.step("write", self._write, run_id, attempt, number)
        self._engine.step("load", self._load, run_id, attempt, number)
        self._engine.step("clean", self._clean, run_id, number)

    # The steps.

    def _prepare(self, run_id: str) -> int:
        """Make or check the table, and settle which columns are loaded. Gives the number of chunks."""
        run, export = self._both(run_id)
        self._watches.report(run.id, "preparing the table")
        client = self._watches.client(run.id, export)
        spec = ExportSpec.model_validate(run.spec)
        model = registry.get(export.model)
        columns = model.columns_for(json_type=spec.json_type)
        table = client.get_table(export.dataset, export.table_id)
        if table is None:
            partition = spec.partition_by
            layout = tables.Layout(
                columns,
                partition=(partition.column, partition.granularity.value) if partition else None,
                cluster_by=spec.cluster_by,
                description=f"{model.title}, exported by Tidemill. {model.description}",
                labels={"tidemill_export": names.label(export.name)},
            )
            table = client.create_table(export.dataset, export.table_id, layout)
        found = tables.match(columns, table, f"{export.project}.{export.dataset}.{export.table_id}")
        if found.missing:
            self._runs.remark(
                run.id,
                f"The table has no column {', '.join(found.missing)}: left out. "
                "Add it to the table by hand, and it is filled from then on.",
            )
        if run.mode == "merge" and run.rows_merged is None:
            self._prepare_stage(client, export, run, found.columns)
        layout_found = {"columns": [column.name for column in found.columns], "location": client.location}
        self._runs.note(run.id, layout=layout_found, worker=self._engine.worker)
        return len(self._runs.chunks(run.id))

    def _prepare_stage(self, client: Client, export: Export, run: Run, columns: tuple[Column, ...]) -> None:
        key = registry.get(export.model).key
        lacking = [name for name in key if name not in {column.name for column in columns}]
        if lacking:
            raise ConfigError(
                "key_missing",
                f"The table holds rows already, and lacks {', '.join(lacking)}: new rows cannot be told from old.",
                hint="Add the column, or export into another table.",
            )
        # Each attempt begins anew with a table of its own: that of an earlier one was dropped, or may have expired.
        self._runs.reset_chunks(run.id, attempt=run.attempt)
        layout = tables.Layout(
            columns, expires_seconds=STAGE_EXPIRES_SECONDS, description="Tidemill: a run's new rows."
        )
        client.create_table(export.dataset, _stage(export, run), layout)
        self._runs.remark(run.id, "The table held rows before this export's first run: only rows it lacked were added.")

    def _write(self, run_id: str, attempt: int, number: int) -> int:
        """Write the chunk's file. Gives its number of rows."""
        run, export = self._both(run_id)
        chunk = self._runs.chunk(run.id, number)
        if chunk.status == "loaded":
            return 0
        written = self._write_file(run, export, chunk)
        found = [
            {"source": str(run.id), "part": row.uuid, "kind": "run", "place": export.name, "code": row.code}
            | {"message": row.message, "raw": row.raw.encode(), "whole": False}
            for row in written.rejected
        ]
        self._rejects.add(found)
        self._runs.note_chunk(
            run.id,
            number,
            attempt=attempt,
            status="written",
            rows_written=written.rows,
            rows_rejected=len(written.rejected),
            rows_repaired=sum(written.repaired.values()),
            bytes=written.bytes,
            started_at=chunk.started_at or dt.datetime.now(dt.UTC),
        )
        return written.rows

    def _write_file(self, run: Run, export: Export, chunk: Chunk) -> chunk_files.Written:
        spec = ExportSpec.model_validate(run.spec)
        selection = chunk_files.Selection(
            after=chunk.snapshot_after,
            upto=chunk.snapshot_upto,
            time_from=chunk.time_from,
            time_to=chunk.time_to,
            include=spec.include_events,
            exclude=spec.exclude_events,
            team_id=spec.team_id,
        )
        path = self._file(run, chunk.number)
        part = path.with_suffix(".part")
        with self._writing:
            self._watches.check(run.id)
            self._watches.report(run.id, f"writing chunk {chunk.number + 1}")
            written = chunk_files.write(
                self._lake,
                selection,
                _columns(run, export),
                part,
                handed_at=dt.datetime.now(dt.UTC),
                max_row_bytes=self._settings.max_row_bytes,
            )
        part.replace(path)
        return written

    def _load(self, run_id: str, attempt: int, number: int) -> str:
        """Load the chunk's file by its job. Gives the job's id."""
        run, export = self._both(run_id)
        chunk = self._runs.chunk(run.id, number)
        if chunk.status == "loaded":
            return chunk.job_id or ""
        if chunk.rows_written == 0:  # the filters left nothing
            self._runs.note_chunk(run.id, number, attempt=attempt, status="loaded", finished_at=dt.datetime.now(dt.UTC))
            return ""
        path = self._file(run, number)
        if not path.exists():  # written by another machine, or lost
            self._write_file(run, export, chunk)
        columns = _columns(run, export)
        job = Load(
            job_id=f"{_job_id(export, run)}_{number:05d}",
            dataset=export.dataset,
            table=_stage(export, run) if run.mode == "merge" else export.table_id,
            columns=columns,
            format=chunk_files.file_format(columns),
            labels=_labels(export, run),
        )
        loaded = self._watches.client(run.id, export).load(
            path,
            job,
            sent=lambda count: self._watches.sent(run.id, number, count),
            cancelled=lambda: self._watches.cancelled(run.id),
        )
        self._runs.note_chunk(
            run.id,
            number,
            attempt=attempt,
            status="loaded",
            rows_loaded=loaded.rows,
            job_id=loaded.job_id,
            finished_at=dt.datetime.now(dt.UTC),
        )
        self._watches.report(run.id, "loading")
        return loaded.job_id

    def _clean(self, run_id: str, number: int) -> None:
        run, _ = self._both(run_id)
        self._file(run, number).unlink(missing_ok=True)

    def _merge(self, run_id: str) -> int | None:
        """Of a run into a table that held rows: add the rows that it lacks. Gives their number."""
        run, export = self._both(run_id)
        if run.mode != "merge" or run.rows_merged is not None:
            return run.rows_merged
        self._watches.report(run.id, "merging")
        client = self._watches.client(run.id, export)
        model = registry.get(export.model)
        stage = (export.project, export.dataset, _stage(export, run))
        columns = [column.name for column in _columns(run, export)]
        table = client.get_table(export.dataset, export.table_id)
        bounds = self._bounds(run, table.partition[0] if table and table.partition else None)
        answer = client.query(
            sql.insert_missing((export.project, export.dataset, export.table_id), stage, columns, model.key, bounds),
            job_id=f"{_job_id(export, run)}_merge",
            permission="bigquery.tables.updateData",
            dataset=export.dataset,
            table=export.table_id,
            labels=_labels(export, run),
            cancelled=lambda: self._watches.cancelled(run.id),
        )
        self._runs.note(run.id, rows_merged=answer.affected or 0)
        self._drop_stage(run, export)
        return answer.affected

    def _drop_stage(self, run: Run, export: Export) -> None:
        try:
            self._watches.client(run.id, export).delete_table(export.dataset, _stage(export, run))
        except TidemillError as error:
            text = f"The table {_stage(export, run)} could not be dropped ({error.message}); it expires in a week."
            self._runs.remark(run.id, text)

    def _bounds(self, run: Run, partition: str | None) -> tuple[str, dt.datetime, dt.datetime] | None:
        """The range of event time in the run, to keep the MERGE from reading other partitions."""
        commits = self._lake.commits(run.snapshot_after, run.snapshot_upto)
        first = min((commit.first_time for commit in commits if commit.first_time), default=None)
        last = max((commit.last_time for commit in commits if commit.last_time), default=None)
        return (partition, first, last) if partition == "timestamp" and first and last else None

    def _complete(self, run_id: str, attempt: int) -> None:
        run, _ = self._both(run_id)
        self._runs.complete(run.id, attempt=attempt)
        self._remove_folder(run)
        self._watches.report(run.id, "done")

    def _fail(self, run_id: str, attempt: int, fields: dict[str, str], cancelled: bool) -> None:
        run, export = self._both(run_id)
        if run.mode == "merge" and run.rows_merged is None and run.layout is not None:
            self._drop_stage(run, export)
        error = TidemillError(fields["code"], fields["message"], hint=fields["hint"])
        self._runs.fail(run.id, error, cancelled=cancelled, attempt=attempt)
        self._remove_folder(run)

    # What the steps share.

    def _both(self, run_id: str) -> tuple[Run, Export]:
        run = self._runs.by_id(uuid.UUID(run_id))
        return run, self._exports.by_id(run.export_id)

    def _folder(self, run: Run) -> Path:
        return self._settings.home_path / "exports" / str(run.id)

    def _file(self, run: Run, number: int) -> Path:
        return self._folder(run) / f"{number:05d}.data"

    def _remove_folder(self, run: Run) -> None:
        folder = self._folder(run)
        if folder.exists():
            for file in folder.iterdir():
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()


def _outcome(handle: Any) -> TidemillError | None:
    try:
        handle.wait()
    except TidemillError as error:
        return error
    return None


def _columns(run: Run, export: Export) -> tuple[Column, ...]:
    """The columns that the run loads, as they were settled when it was prepared."""
    if run.layout is None:
        raise NotFoundError("run_not_prepared", f"Run {run.id} was not prepared.")
    wanted = set(run.layout["columns"])
    spec = ExportSpec.model_validate(run.spec)
    return tuple(c for c in registry.get(export.model).columns_for(json_type=spec.json_type) if c.name in wanted)


def _stage(export: Export, run: Run) -> str:
    return f"tidemill_stage_{export.id.hex[:12]}_{run.number}_{run.attempt}"


def _job_id(export: Export, run: Run) -> str:
    """The beginning of the ids of a run's jobs. Those of a merge differ by attempt, as its stage table does."""
    return f"tidemill_{export.id.hex}_{run.id.hex}" + (f"_a{run.attempt}" if run.mode == "merge" else "")


def _labels(export: Export, run: Run) -> dict[str, str]:
    return {"tidemill_export": names.label(export.name), "tidemill_run": str(run.id)}
