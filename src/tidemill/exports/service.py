"""What a user can do with exports: make, see, change, delete and run them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tidemill.bigquery import names
from tidemill.bigquery.client import Client
from tidemill.engine.port import Engine
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.events import chunks as chunk_files
from tidemill.events import queries
from tidemill.events.lake import Lake
from tidemill.exports import check, plan, spec, views
from tidemill.exports.run import Runner
from tidemill.exports.spec import ExportSpec
from tidemill.exports.views import ExportView, RunProgress, RunView
from tidemill.models import registry
from tidemill.settings import Settings
from tidemill.store.connections import Connections
from tidemill.store.exports import Exports
from tidemill.store.loads import Rejects
from tidemill.store.records import Connection, Export, Run
from tidemill.store.runs import Runs

__all__ = ["ExportService", "ExportView", "RunProgress", "RunView"]

Report = Callable[[RunProgress], None]
_EDITABLE = {"name", "interval", "include_events", "exclude_events"}
_RESERVED = {"show", "retry", "cancel", "start"}  # words of `tidemill export run`
_SHOWN_REJECTS = 100
_CANCELS_WITHIN_SECONDS = 60


def _quiet(_: RunProgress) -> None:
    return None


class ExportService:
    """Exports and their runs."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        engine: Engine,
        connections: Connections,
        exports: Exports,
        runs: Runs,
        rejects: Rejects,
        client_for: Callable[[Connection, str], Client],
    ) -> None:
        """`client_for(connection, project)`: BigQuery as that connection sees it."""
        self._settings, self._lake, self._engine = settings, lake, engine
        self._connections, self._exports, self._runs, self._rejects = connections, exports, runs, rejects
        self._client_for = client_for
        self._runner = Runner(settings, lake, engine, exports, runs, rejects, self._client)

    def _client(self, export: Export) -> Client:
        return self._client_for(self._connections.by_id(export.connection_id), export.project)

    def create(self, connection_name: str, fields: dict[str, Any], *, by: str) -> tuple[ExportView, list[str]]:
        """Save a new export. Gives it, with remarks on what was understood.

        Raises
        ------
        ConfigError
            A field is wrong.
        ConflictError
            The name, or the table, is taken by another export.
        """
        connection = self._connections.get(connection_name)
        name = names.parse_table(str(fields["table"]))
        fields = {**fields, "table": name.table}
        if isinstance(fields.get("partition_by"), str):
            fields["partition_by"] = spec.Partitioning.parse(fields["partition_by"])
        made = spec.make(**fields)
        if made.name.lower() in _RESERVED:
            raise ConfigError("export_name", f"An export cannot be named {made.name!r}.", hint="Choose another name.")
        dataset = name.dataset or connection.dataset
        if (name.project or connection.project) != connection.project:
            raise ConfigError(
                "other_project",
                f"The table is in project {name.project}, the connection in {connection.project}.",
                hint="Give the table id alone, or make a connection for that project.",
            )
        export = self._exports.add(
            name=made.name,
            connection_id=connection.id,
            model=made.model,
            project=connection.project,
            dataset=dataset,
            table_id=made.table,
            spec=made.model_dump(mode="json"),
            created_by=by,
        )
        return self._view(export), [name.note] if name.note else []

    def find(self, connection: str | None = None) -> list[ExportView]:
        """Exports by name, all or those of one connection."""
        owner = self._connections.get(connection).id if connection else None
        return [self._view(export) for export in self._exports.find(owner)]

    def using(self, connection_id: Any) -> list[str]:
        """Names of the exports that use a connection."""
        return [export.name for export in self._exports.find(connection_id)]

    def get(self, name: str) -> ExportView:
        """The export of that name; NotFoundError if there is none."""
        return self._view(self._exports.get(name))

    def _view(self, export: Export) -> ExportView:
        made = ExportSpec.model_validate(export.spec)
        last = self._runs.last(export.id)
        waiting = self._lake.commits(export.position, self._lake.position())
        partition = made.partition_by
        return ExportView(
            id=export.id,
            name=export.name,
            model=export.model,
            connection=self._connections.by_id(export.connection_id).name,
            target=views.target(export),
            interval=made.interval,
            json_type=made.json_type,
            include_events=made.include_events,
            exclude_events=made.exclude_events,
            team_id=made.team_id,
            partition_by=f"{partition.column} by {partition.granularity.lower()}" if partition else "none",
            cluster_by=made.cluster_by,
            created_at=export.created_at,
            created_by=export.created_by,
            position=export.position,
            last_status=last.status if last else None,
            last_finished_at=last.finished_at if last else None,
            waiting_rows=sum(commit.rows for commit in waiting),
        )

    def edit(self, name: str, changes: dict[str, Any]) -> ExportView:
        """Change name, interval or event filters; for runs from now on.

        Raises
        ------
        ConfigError
            A field is wrong or fixed.
        """
        export = self._exports.get(name)
        if not changes:
            raise ConfigError("nothing_to_change", "Nothing to change was named.", hint="tidemill export edit --help")
        fixed = sorted(set(changes) - _EDITABLE)
        if fixed:
            raise ConfigError(
                "field_fixed", f"{', '.join(fixed)} cannot be changed.", hint="Make another export, into another table."
            )
        changed = spec.make(**{**ExportSpec.model_validate(export.spec).model_dump(), **changes})
        return self._view(self._exports.change(export.id, name=changed.name, spec=changed.model_dump(mode="json")))

    def delete(self, name: str) -> None:
        """Cancel the export's run and delete it. The table stays."""
        export = self._exports.get(name)
        last = self._runs.last(export.id)
        if last and last.status == "running":
            if last.worker and self._engine.alive(last.worker):
                raise ConflictError(
                    "run_running",
                    f"Run {last.id.hex[:8]} of {export.name} is running.",
                    hint=f"tidemill export run cancel {last.id.hex[:8]}",
                )
            self._cancel_abandoned(last)
        self._exports.delete(export.id)

    # Runs.

    def run(self, name: str, *, by: str, progress: Report = _quiet) -> list[RunView]:
        """Export what is new. A run that was interrupted, failed or cancelled is gone on with first.

        Gives the runs that were moved: none if there was nothing to do.

        Raises
        ------
        ConflictError
            A run of this export is running.
        """
        export = self._exports.get(name)
        self._engine.launch()
        moved = self._finish_interrupted(export, progress)
        fresh = self._plan(self._exports.by_id(export.id), by)
        if fresh is not None:
            moved.append(self._execute(fresh, progress))
        return moved

    def _finish_interrupted(self, export: Export, progress: Report) -> list[RunView]:
        last = self._runs.last(export.id)
        if last is None or last.status == "completed":
            return []
        if last.status == "running":
            self._assert_abandoned(last, export)
        return [self._go_on(last, progress)]

    def _assert_abandoned(self, run: Run, export: Export) -> None:
        if run.worker and self._engine.alive(run.worker):
            raise ConflictError(
                "run_running",
                f"Run {run.id.hex[:8]} of {export.name} is running, begun by {run.created_by} "
                f"at {run.started_at:%H:%M:%S} UTC.",
                hint=f"Wait for it, or stop it: tidemill export run cancel {run.id.hex[:8]}",
            )

    def _go_on(self, run: Run, progress: Report) -> RunView:
        """Another attempt. If a dead process left a workflow, that is recovered; else a new one is begun."""
        if run.status == "running":
            workflow = f"{run.id}:{run.attempt}"
            with self._runner.watching(run.id, progress):
                recovered = self._engine.recover()
                if workflow in recovered:
                    self._runs.note(run.id, worker=self._engine.worker)
                    self._runs.remark(run.id, "The run was interrupted, and went on where it had stopped.")
                    recovered[workflow].wait()
                    return self._run_view(self._runs.by_id(run.id))
        again = self._runs.resume(run.id, self._engine.worker, expected_attempt=run.attempt)
        return self._execute(again, progress)

    def _execute(self, run: Run, progress: Report) -> RunView:
        self._runner.execute(run, progress)
        return self._run_view(self._runs.by_id(run.id))

    def _plan(self, export: Export, by: str) -> Run | None:
        """A new run over everything that was committed since the last one, frozen; None if there is nothing."""
        upto = self._lake.position()
        commits = self._lake.commits(export.position, upto)
        if not commits:
            return None
        made = ExportSpec.model_validate(export.spec)
        columns = registry.get(export.model).columns_for(json_type=made.json_type)
        parquet = chunk_files.file_format(columns) == "PARQUET"
        ratio = queries.compression(self._lake) if parquet else 1.2
        parts = [
            plan.Part(c.snapshot, c.rows, c.bytes * ratio, c.first_time, c.last_time)
            for c in commits
            if c.first_time and c.last_time
        ]
        by_time = made.partition_by if made.partition_by and made.partition_by.column == "timestamp" else None
        size = by_time.granularity if by_time else None
        cut = plan.cut(
            parts,
            export.position,
            self._settings.chunk_bytes,
            size,
            lambda after, to: queries.partitions(self._lake, after, to, (size or "day").lower()),
        )
        run = {
            "mode": self._mode(export),
            "spec": export.spec,
            "snapshot_after": export.position,
            "snapshot_upto": upto,
            "interval_start": commits[0].committed_at,
            "interval_end": commits[-1].committed_at,
            "rows_planned": sum(commit.rows for commit in commits),
            "created_by": by,
            "worker": self._engine.worker,
        }
        rows = [
            {"number": c.number, "snapshot_after": c.after, "snapshot_upto": c.upto, "rows_planned": c.rows}
            | {"time_from": c.time_from, "time_to": c.time_to}
            for c in cut
        ]
        return self._runs.plan(export.id, run, rows)

    def _mode(self, export: Export) -> str:
        """``merge`` for a first run into a table that holds rows: some of them may be ours, of an export before."""
        if export.position:
            return "append"
        client = self._client(export)
        try:
            table = client.get_table(export.dataset, export.table_id)
        finally:
            client.close()
        return "merge" if table and table.rows else "append"

    def runs(self, name: str | None, *, limit: int) -> list[RunView]:
        """Runs, newest first, of one export or of all."""
        export = self._exports.get(name) if name else None
        return [self._run_view(run) for run in self._runs.newest(export.id if export else None, limit=limit)]

    def run_show(self, run_id: str) -> RunView:
        """One run, with the rows that it could not deliver."""
        run = self._runs.get(run_id)
        found = self._rejects.find(kind="run", source=str(run.id), limit=_SHOWN_REJECTS)
        return self._run_view(run, tuple((reject.part, reject.code, reject.message) for reject in found))

    def _run_view(self, run: Run, rejects: tuple[tuple[str, str, str], ...] = ()) -> RunView:
        return views.run_view(run, self._exports.by_id(run.export_id), self._runs.chunks(run.id), rejects)

    def check(self, name: str) -> check.Checked:
        """Hold the table of an export without filters against the event store, by queries in BigQuery."""
        export = self._exports.get(name)
        expected = sum(commit.rows for commit in self._lake.commits(0, export.position))
        client = self._client(export)
        try:
            return check.check(client, export, expected, registry.get(export.model).key)
        finally:
            client.close()

    def retry(self, run_id: str, *, progress: Report = _quiet) -> RunView:
        """Go on with a run that failed, was cancelled or was interrupted.

        Raises
        ------
        ConflictError
            It is completed, or running.
        """
        run = self._runs.get(run_id)
        export = self._exports.by_id(run.export_id)
        self._engine.launch()
        if run.status == "completed":
            raise ConflictError(
                "run_completed",
                f"Run {run.id.hex[:8]} is completed: nothing is left to retry.",
                hint=f"Export what is new: tidemill export run {export.name}",
            )
        if run.status == "running":
            self._assert_abandoned(run, export)
        return self._go_on(run, progress)

    def cancel(self, run_id: str) -> RunView:
        """Have the process that moves the run stop it, and its BigQuery job; or note that nobody moves it any more.

        Waits for that, a minute at most: the view says how it stands.

        Raises
        ------
        ConflictError
            The run is over.
        """
        run = self._runs.get(run_id)
        if run.status != "running":
            raise ConflictError("run_over", f"Run {run.id.hex[:8]} is {run.status} already.", hint="Nothing to cancel.")
        self._runs.request_cancel(run.id)
        if not (run.worker and self._engine.alive(run.worker)):
            self._cancel_abandoned(run)
        end = time.monotonic() + _CANCELS_WITHIN_SECONDS
        while (run := self._runs.by_id(run.id)).status == "running" and time.monotonic() < end:
            time.sleep(0.1)
        return self._run_view(run)

    def _cancel_abandoned(self, run: Run) -> None:
        cancelled = TidemillError("cancelled", "The run was cancelled.", hint="")
        self._runs.fail(run.id, cancelled, cancelled=True, attempt=run.attempt)

    def interrupt(self) -> None:
        """Cancel the runs that this process moves, and their BigQuery jobs."""
        self._runner.interrupt()
