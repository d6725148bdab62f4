"""What a user can do with exports: make, see, change, delete and run them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.bigquery.client import Client
from tidemill.engine.port import Engine
from tidemill.errors import ConflictError
from tidemill.events import chunks
from tidemill.events.erasure import PersonEvents
from tidemill.events.identity.service import IdentityService
from tidemill.events.lake import Lake
from tidemill.events.sources.source import Source
from tidemill.exports import check, doubt, selection
from tidemill.exports import draft as drafts
from tidemill.exports.backfill import Backfiller, BackfillProgress, BackfillView
from tidemill.exports.check import Example
from tidemill.exports.dispatch import Dispatch
from tidemill.exports.erasure import Eraser, Told
from tidemill.exports.estimate import Estimate, Estimator
from tidemill.exports.integrity import Integrity
from tidemill.exports.logs import Logs
from tidemill.exports.plan import Planner
from tidemill.exports.rejects import RunRejects
from tidemill.exports.schedules.intervals import Intervals
from tidemill.exports.schedules.pieces import Pieces
from tidemill.exports.schedules.scheduler import Scheduler
from tidemill.exports.schedules.service import Scheduling
from tidemill.exports.seeing import Seeing
from tidemill.exports.set_aside import SetAside
from tidemill.exports.shown import Shown
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.streaming import Streaming
from tidemill.exports.verify import Verified, Verifier
from tidemill.exports.views import ExportView, RejectView, RunProgress, RunView
from tidemill.exports.watch import Report, Watches, untold
from tidemill.exports.work import Lock, Parts, Queried, model_of
from tidemill.schedules.worker import Queue
from tidemill.settings import Settings
from tidemill.store.books import Books
from tidemill.store.records import Backfill, Connection, Export

__all__ = ["ExportService", "ExportView", "RejectView", "RunProgress", "RunView"]

_SHOWN_REJECTS = 100


class ExportService:
    """Exports and their runs."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        identity: IdentityService,
        queried: Queried,
        sources: Mapping[str, Source],
        engine: Engine,
        books: Books,
        scheduler: Scheduler,
        seeing: Seeing,
        sent: PersonEvents,
        lock: Lock,
        client_for: Callable[[Connection, str], Client],
    ) -> None:
        """`queried`: the source of a query's rows; `sources`: by model; `lock`: as in Parts; `sent`: events by who sent
        them; `client_for(connection, project)`: BigQuery."""
        self._lake = lake
        self._connections, self._exports = books.connections, books.exports
        self._runs, self._rejects = books.runs, books.rejects
        self._client_for = client_for
        self._set_aside = RunRejects(lake, books.runs, books.rejects)
        watches = Watches(books.runs, self._client)
        parts = Parts(settings, lake, sources, queried, engine, books, watches, lock, seeing.book)
        self._parts = parts
        planner = Planner(parts)
        self._dispatch = Dispatch(parts, planner, self._set_aside)
        self._backfiller = Backfiller(parts, planner, self._dispatch, books.backfills)
        self._estimator = Estimator(parts, planner)
        verifier = Verifier(parts, self._set_aside)
        self.streaming = Streaming(parts, books.streams, self._dispatch, self._client)
        quiet = self.streaming.quiet
        self._eraser = Eraser(
            parts, identity, sent, books.erasures, self._dispatch, self._backfiller, self._client, quiet
        )
        self._integrity = Integrity(parts, verifier, self._estimator, self._backfiller, books.verifications)
        self.schedules = Scheduling(parts, books.schedules, books.tasks, scheduler, self._backfiller)
        self.scheduler = scheduler
        pause = self.schedules.pause_failing
        due = Intervals(parts, self._dispatch, self._integrity, books.schedules, books.tasks, pause)
        pieces = Pieces(settings, self._dispatch, self._backfiller, books.pieces)
        #: What workers do.
        self.queues: Sequence[Queue[Any]] = (due, pieces)
        self._shown = Shown(parts, books.connections, self._integrity, self.streaming, self.schedules, seeing.totals)
        self.logs = Logs(books.exports, books.runs, seeing.lines)
        self.set_aside = SetAside(parts, self._set_aside, self._dispatch, self._backfiller, self._shown)

    def _client(self, export: Export) -> Client:
        return self._client_for(self._connections.by_id(export.connection_id), export.project)

    # Exports.

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
        draft = drafts.new(self._lake, connection, fields)
        made = draft.spec
        export = self._exports.add(
            name=made.name,
            connection_id=connection.id,
            model=made.model,
            project=connection.project,
            dataset=draft.dataset,
            table_id=made.table,
            spec=made.model_dump(mode="json"),
            created_by=by,
        )
        self.scheduler.settle(export)
        return self._shown.export(export), draft.remarks

    def find(self, connection: str | None = None) -> list[ExportView]:
        """Exports by name, all or those of one connection."""
        owner = self._connections.get(connection).id if connection else None
        return [self._shown.export(export) for export in self._exports.find(owner)]

    def using(self, connection_id: Any) -> list[str]:
        """Names of the exports that use a connection."""
        return [export.name for export in self._exports.find(connection_id)]

    def get(self, name: str) -> ExportView:
        """The export of that name; NotFoundError if there is none."""
        return self._shown.export(self._exports.get(name))

    def edit(self, name: str, changes: dict[str, Any]) -> ExportView:
        """Change name, interval, delivery, event filters, run log or the limit of bytes; for runs from now on.

        Raises
        ------
        ConfigError
            A field is wrong or fixed.
        """
        export = self._exports.get(name)
        changed = drafts.changed(export, changes)
        made = self._exports.change(export.id, name=changed.name, spec=changed.model_dump(mode="json"))
        self.schedules.changed(export, made)
        return self._shown.export(made)

    def delete(self, name: str) -> None:
        """Cancel the export's runs that nobody moves, and delete it. The table stays.

        Raises
        ------
        ConflictError
            A living process moves a run, or a backfill, of it.
        """
        export = self._exports.get(name)
        with self.streaming.quiet(export, anyway=True):
            self._backfiller.assert_not_moving(export)
            self._dispatch.abandon(export)
            refusing = self._set_aside.runs(export.id)
            self._exports.delete(export.id)
            self._set_aside.dismiss(refusing, None)

    def check(self, name: str) -> check.Checked:
        """Hold the table of an export against the event store, by queries in BigQuery."""
        export = self._exports.get(name)
        made = ExportSpec.model_validate(export.spec)
        chosen = selection.of(made, 0, export.position)
        held = chunks.keys(self._parts.lake, self._parts.source(export), chosen)
        expected = held - self._set_aside.keys(export.id)
        with contextlib.closing(self._client(export)) as client:
            return check.check(client, export, expected, model_of(export).key, made.max_bytes_billed)

    def example(self, name: str) -> Example:
        """Ask the table of an export of events what was frequent."""
        export = self._exports.get(name)
        with contextlib.closing(self._client(export)) as client:
            return check.example(client, export, ExportSpec.model_validate(export.spec).max_bytes_billed)

    def verify(self, name: str, *, days: int | None = None, by: str) -> Verified:
        """Hold the table of an export against the event store day by day, by one cheap query; see exports/verify.py."""
        with self.streaming.quiet(self._exports.get(name)):
            return self._integrity.verify(self._exports.get(name), days, by)

    def verify_daily(
        self, name: str, *, by: str, progress: Callable[[BackfillProgress], None] = untold
    ) -> Verified | None:
        """Today's verification of an export that asks for one a day, after a backfill of what was missing.

        None if it asks for none, there was one, or it must wait. To be called when a run has ended.
        """
        return self._integrity.daily(self._exports.get(name), by, progress)

    def settle(self, name: str) -> ExportView:
        """The table of an export that is in doubt holds no row that comes again, the user says. ConflictError if it is
        in none."""
        export = self._exports.get(name)
        doubt.settle(self._parts, export)
        return self._shown.export(export)

    def repair(self, name: str, verified: Verified) -> Estimate | None:
        """The backfill that brings in what the table was found to lack; None if it lacks nothing."""
        return self._estimator.repair(self._exports.get(name), verified)

    def erase_person(self, team_id: int, distinct_id: str, *, events: bool, by: str, told: Told) -> None:
        """Delete a person for good, as for a privacy request; see exports/erasure.py."""
        self._eraser.erase(team_id, distinct_id, events=events, by=by, told=told)

    # Backfills.

    def estimate(self, name: str, time_from: str, time_to: str | None, every: str | None) -> Estimate:
        """What a backfill would move. `time_from` may be "earliest"; `every`: the size of its intervals."""
        return self._estimator.estimate(self._exports.get(name), time_from, time_to, every)

    def backfill(
        self,
        name: str,
        estimate: Estimate,
        *,
        by: str,
        parallel: int,
        progress: Callable[[BackfillProgress], None] = untold,
        background: bool = False,
    ) -> BackfillView:
        """Export a range of event time again, merged with what the table holds. `background`: workers do it, and it is
        not waited for.

        Raises
        ------
        ConfigError
            There is nothing in the range.
        ConflictError
            A backfill of this export is not finished.
        """
        export = self._exports.get(name)
        backfill = self._backfiller.start(export, estimate, by, workers=parallel if background else None)
        return self._backfilled(backfill, by, parallel, progress)

    def backfill_resume(
        self,
        name: str,
        *,
        by: str,
        parallel: int,
        progress: Callable[[BackfillProgress], None] = untold,
        background: bool = False,
    ) -> BackfillView:
        """Go on with the backfill that was paused or interrupted; try its failed intervals again."""
        backfill = self._backfiller.resume(self._exports.get(name), workers=parallel if background else None)
        return self._backfilled(backfill, by, parallel, progress)

    def _backfilled(
        self, backfill: Backfill, by: str, parallel: int, progress: Callable[[BackfillProgress], None]
    ) -> BackfillView:
        if backfill.parallel is None:
            backfill = self._backfiller.move(backfill, by, parallel, progress)
        return self._backfiller.view(backfill)

    def backfill_stop(self, name: str, *, cancel: bool) -> BackfillView:
        """Pause the backfill: what is begun ends. Or cancel it, with its runs and their BigQuery jobs."""
        status = "cancelled" if cancel else "paused"
        return self._backfiller.view(self._backfiller.stop(self._exports.get(name), status))

    def backfills(self, name: str | None, *, limit: int) -> list[BackfillView]:
        """Backfills, newest first, of one export or of all."""
        return self._backfiller.views(self._exports.get(name) if name else None, limit=limit)

    # Runs.

    def run(self, name: str, *, by: str, progress: Report = untold) -> list[RunView]:
        """Export what is new. A run that was interrupted, failed or cancelled is gone on with first.

        Gives the runs that were moved: none if there was nothing to do.

        Raises
        ------
        ConflictError
            A run of this export is running.
        """
        drafts.assert_by_runs(export := self._exports.get(name))
        return [self._shown.run(run) for run in self._dispatch.run(export, by, progress)]

    def runs(self, name: str | None, *, limit: int) -> list[RunView]:
        """Runs, newest first, of one export or of all."""
        export = self._exports.get(name) if name else None
        return [self._shown.run(run) for run in self._runs.newest(export.id if export else None, limit=limit)]

    def run_show(self, run_id: str) -> RunView:
        """One run, with the rows that it could not deliver."""
        run = self._runs.get(run_id)
        found = self._rejects.find(kind="run", source=str(run.id), limit=_SHOWN_REJECTS)
        return self._shown.run(run, tuple((reject.part, reject.code, reject.message) for reject in found))

    def retry(
        self, run_id: str, *, by: str | None = None, progress: Report = untold, arrived: bool | None = None
    ) -> RunView:
        """Go on with a run that failed, was cancelled or was interrupted; of one that is completed, try again the rows
        that it set aside, by another run. Gives the run that was moved. `arrived`: see Dispatch.retry.

        Raises
        ------
        ConflictError
            It is completed and set nothing aside, or it is running.
        """
        run = self._runs.get(run_id)
        if run.status == "completed" and (
            moved := self.set_aside.retry_these([run], None, by or run.created_by, progress)
        ):
            return moved[0]
        return self._shown.run(self._dispatch.retry(run, progress, arrived=arrived))

    def run_again(self, run_id: str, *, by: str, progress: Report = untold) -> RunView:
        """Send all rows of a completed run again, merged with what the table holds. Gives the run that did it.

        Raises
        ------
        ConfigError
            They have no key, or no versions and are not the last run's.
        ConflictError
            It is not completed, or something else of the export is not finished.
        """
        run = self._runs.get(run_id)
        if run.status != "completed":
            raise ConflictError(
                "run_not_completed",
                f"Run {run.id.hex[:8]} is {run.status}.",
                hint=f"Finish it: tidemill export run retry {run.id.hex[:8]}",
            )
        export = self._exports.by_id(run.export_id)
        self._backfiller.assert_none(export)
        return self._shown.run(self._dispatch.again(export, run, by, progress))

    def cancel(self, run_id: str) -> RunView:
        """Have the process that moves the run stop it, and its BigQuery job; or note that nobody moves it any more.

        Waits for that, a minute at most: the view says how it stands.

        Raises
        ------
        ConflictError
            The run is over.
        """
        return self._shown.run(self._dispatch.cancel(self._runs.get(run_id)))

    def interrupt(self) -> None:
        """Cancel the runs that this process moves, and their BigQuery jobs."""
        self._dispatch.interrupt()
