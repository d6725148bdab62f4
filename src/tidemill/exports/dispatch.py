"""Begins runs, goes on with those that were interrupted, and stops them: one run of an export at a time."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import time
from collections.abc import Sequence

from tidemill import tracing
from tidemill.bigquery import write_streams
from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import ConflictError, NotFoundError, TidemillError
from tidemill.exports import rejects, told
from tidemill.exports.plan import Planner
from tidemill.exports.rejects import Ground, RunRejects
from tidemill.exports.run import Runner
from tidemill.exports.spec import ExportSpec
from tidemill.exports.steps import commit, log
from tidemill.exports.views import RunProgress
from tidemill.exports.watch import Report, untold
from tidemill.exports.work import Parts, Work, model_of
from tidemill.schedules.calendar import Span
from tidemill.store import commits
from tidemill.store.records import Export, Run

#: What says that another process moves a run.
ELSEWHERE = frozenset({"run_running", "run_taken_over", "workflow_running"})
_CANCELS_WITHIN_SECONDS = 60
#: BigQuery ends a job after six hours, which it may have waited for a day to begin ("Quotas": load and query jobs).
_JOBS_END_WITHIN = dt.timedelta(days=2)


class Dispatch:
    """Runs, as they are begun and ended. What moves them is the Runner."""

    def __init__(self, parts: Parts, planner: Planner, rejects: RunRejects) -> None:
        self._exports, self._runs, self._engine = parts.exports, parts.runs, parts.engine
        self._parts, self._watches = parts, parts.watches
        self._planner, self._rejects, self._runner = planner, rejects, Runner(parts)

    def run(self, export: Export, by: str, report: Report) -> list[Run]:
        """Go on with the last run if it did not end well, and export what is new. Gives the runs that were moved."""
        self.begin()
        moved = self._finish_interrupted(export, report)
        asked_at = dt.datetime.now(dt.UTC)
        export = self._exports.by_id(export.id)
        report(RunProgress("looking for what is new", 0, 0, 0, 0, 0))  # it may take as long as who is who does
        fresh = self._planner.fresh(export, by, asked_at)
        if fresh is not None:
            moved.append(self.move(fresh, report))
        elif ExportSpec.model_validate(export.spec).run_log:
            log.nothing(self._parts, export, asked_at)
        return moved

    def interval(self, export: Export, span: Span, by: str) -> Run:
        """See that the run of an interval of the schedule is completed, after the last one if that did not end well."""
        self._finish_interrupted(export, untold)
        run = self._runs.of_interval(export.id, span.end)
        if run is None:
            run = self._planner.scheduled(self._exports.by_id(export.id), span, by)
        if run.status == "running" and self._runs.chunks(run.id):
            return self.move(run, untold)
        if run.status == "running":  # there is nothing in it
            if ExportSpec.model_validate(export.spec).run_log:
                log.nothing(self._parts, export, span.end)
            self._runs.complete(run.id, attempt=run.attempt)
        return run

    def begin(self) -> None:
        """Something new is begun: the engine runs, and an interrupt from before does not count."""
        tracing.assert_usable()
        self._watches.ready()
        self._engine.launch()

    def _finish_interrupted(self, export: Export, report: Report) -> list[Run]:
        last = self._runs.last(export.id)
        if last is None or last.status == "completed":
            return []
        if last.status == "running":
            self.assert_abandoned(last, export)
        return [self._go_on(last, report)]

    def retry(self, run: Run, report: Report, *, arrived: bool | None = None) -> Run:
        """Go on with a run that failed, was cancelled or was interrupted.

        `arrived`: somebody has looked whether the rows of a commit that BigQuery did not confirm are in the table.
        """
        export = self._exports.by_id(run.export_id)
        if arrived is not None:
            self._confirm(run, arrived=arrived)
        self.begin()
        if _is_streaming(run):
            raise _streaming(run)
        if run.status == "completed":
            raise ConflictError(
                "run_completed",
                f"Run {run.id.hex[:8]} is completed: nothing is left to retry.",
                hint=f"Export what is new: tidemill export run {export.name}",
            )
        if run.status == "running":
            self.assert_abandoned(run, export)
        return self._go_on(run, report)

    def _confirm(self, run: Run, *, arrived: bool) -> None:
        if run.error_code != write_streams.UNCONFIRMED:
            raise ConflictError(
                "nothing_to_confirm",
                f"It is known of run {run.id.hex[:8]} which of its rows are in the table.",
                hint=f"tidemill export run retry {run.id.hex[:8]}",
            )
        settle = self._runs.commits.done if arrived else self._runs.commits.forget
        settle(run.id, self._streams(run), attempt=run.attempt)

    def _streams(self, run: Run) -> list[str]:
        return [chunk.job_id for chunk in self._runs.chunks(run.id) if chunk.job_id]

    def retry_rejects(
        self, export: Export, runs: Sequence[Run], *, code: str | None, by: str, report: Report
    ) -> list[Run]:
        """Try again what these runs set aside: a run for each of them that did. Gives the runs."""
        self.begin()
        events = model_of(export).event_column is not None
        over = [run for run in runs if not _is_streaming(run)]
        if runs and not over:
            raise _streaming(runs[0])
        return [self.over(export, ground, by, report) for ground in self._rejects.ground(over, code, events=events)]

    def again(self, export: Export, run: Run, by: str, report: Report) -> Run:
        """Send all rows of a completed run again, by another one: the table ends as it is, or as it should be."""
        self.begin()
        why = f"Sends the rows of run {run.id.hex[:8]} again."
        return self.over(export, rejects.whole(run, self._runs.chunks(run.id), why), by, report)

    def over(self, export: Export, ground: Ground, by: str, report: Report) -> Run:
        """Go over ground of an earlier run again, by another one."""
        self.begin()
        return self.move(self._planner.again(self._exports.by_id(export.id), ground, by), report)

    def assert_abandoned(self, run: Run, export: Export) -> None:
        """Raise ConflictError if a living process moves the run: another one, or this one by another thread."""
        if not self.is_left(run):
            raise ConflictError(
                "run_running",
                f"Run {run.id.hex[:8]} of {export.name} is running, begun by {run.created_by} "
                f"at {run.started_at:%H:%M:%S} UTC.",
                hint=f"Wait for it, or stop it: tidemill export run cancel {run.id.hex[:8]}",
            )

    def is_left(self, run: Run) -> bool:
        """Whether no living process moves the run."""
        dropped = run.worker == self._engine.worker and not self._watches.is_watched(run.id)
        return not run.worker or dropped or self._engine.bury(run.worker)

    def _go_on(self, run: Run, report: Report) -> Run:
        """Another attempt. If a dead process left a workflow, that is recovered; else a new one is begun."""
        if run.status == "running":
            with self._runner.watching(run.id, report):
                recovered = self._engine.recover(f"{run.id}:{run.attempt}")
                if recovered:
                    self._runs.note(run.id, attempt=run.attempt, worker=self._engine.worker)
                    told.taken_over(self._parts, run)
                    self._runs.remark(run.id, "The run was interrupted, and went on where it had stopped.")
                    recovered.wait()
                    return self._runs.by_id(run.id)
        again = self._runs.resume(run.id, self._engine.worker, expected_attempt=run.attempt)
        told.begins_again(self._parts, again)
        return self.move(again, report)

    def move(self, run: Run, report: Report) -> Run:
        """Move a run that is planned to its end. Gives it as it is then."""
        self._runner.execute(run, report)
        return self._runs.by_id(run.id)

    def cancel(self, run: Run) -> Run:
        """Have the process that moves the run stop it; or note that nobody does. Waits for that, a minute at most."""
        if _is_streaming(run):
            raise _streaming(run)
        if run.status != "running":
            raise ConflictError("run_over", f"Run {run.id.hex[:8]} is {run.status} already.", hint="Nothing to cancel.")
        self._runs.request_cancel(run.id)
        told.asked_to_stop(self._parts, run)
        if not run.worker or self._engine.bury(run.worker):
            self.cancel_abandoned(run)
        end = time.monotonic() + _CANCELS_WITHIN_SECONDS
        while (run := self._runs.by_id(run.id)).status == "running" and time.monotonic() < end:
            time.sleep(0.1)
        return run

    def abandon(self, export: Export) -> None:
        """Cancel the runs of an export that nobody moves, and see that nothing of the last is at work any more.

        Raises
        ------
        ConflictError
            A living process moves one.
        """
        running, last = self._runs.running(export.id), self._runs.last(export.id)
        for run in running:
            self.assert_abandoned(run, export)
        for run in running:
            self.cancel_abandoned(run)
        if last and last.status in {"failed", "cancelled"}:
            self.settle(last)

    def settle(self, run: Run, within: float | None = None) -> None:
        """See that of a run which nobody moves nothing is at work in BigQuery any more, and no file is left. `within`:
        so many seconds BigQuery is asked, if not for as long as usual.

        Raises
        ------
        TidemillError
            BigQuery cannot be asked. Of a run of days ago nothing can be at work, and it is not asked.
        """
        shutil.rmtree(self._parts.folder(run), ignore_errors=True)
        begun = run.started_at or run.created_at
        if run.layout is None or dt.datetime.now(dt.UTC) - begun > _JOBS_END_WITHIN:
            return
        work = self._parts.work(str(run.id), run.attempt)
        jobs = [work.job_id(f"{c.number:05d}") for c in self._runs.chunks(run.id) if c.status == "written"]
        jobs += [run.merge_job] if run.merge_job and run.rows_merged is None else []
        with self._watches.planning(work.export) as client:
            client.policy = Policy(deadline=within) if within is not None else client.policy
            client.locate(work.export.dataset)
            for job in jobs:
                client.settle(job, work.export.dataset, work.export.table_id)
            self._settle_commit(work, client)
            if work.staged:
                with contextlib.suppress(TidemillError):  # it expires
                    client.delete_table(work.export.dataset, work.stage[2])

    def _settle_commit(self, work: Work, client: Client) -> None:
        """If it was begun to have rows be seen, it is done once more: after that, they are or never will be."""
        streams = self._streams(work.run)
        if not work.storage_write or work.staged or not commits.is_begun(work.run, streams):
            return
        with (
            contextlib.closing(WriteStreams(client)) as writing,
            contextlib.suppress(NotFoundError, ConflictError),
        ):
            commit.ask(writing, work, streams)

    def cancel_abandoned(self, run: Run) -> None:
        """Cancel a run that nobody moves, and its BigQuery jobs."""
        self.settle(run)
        self.note_cancelled(run)

    def note_cancelled(self, run: Run) -> None:
        """A run that nobody moves is cancelled; what of it is at work in BigQuery is settled by who calls this."""
        cancelled = TidemillError("cancelled", "The run was cancelled.", hint="")
        self._runs.fail(run.id, cancelled, cancelled=True, attempt=run.attempt)

    @property
    def interrupted(self) -> bool:
        """Whether this process was told to stop."""
        return self._watches.interrupted

    def interrupt(self) -> None:
        """Cancel the runs that this process moves, and their BigQuery jobs."""
        self._runner.interrupt()


def _is_streaming(run: Run) -> bool:
    return run.mode == "stream" and run.status == "running"


def _streaming(run: Run) -> ConflictError:
    return ConflictError(
        "run_streams",
        f"Run {run.id.hex[:8]} is that of a stream, and not over.",
        hint="It ends when the stream is stopped, nothing comes for five minutes, or after an hour.",
    )
