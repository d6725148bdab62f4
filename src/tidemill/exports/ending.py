"""Ends all that the exports of a connection do, and deletes them: for who deletes the connection.

The connection is marked by then: nothing new is begun. So what is asked to stop here stays stopped.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence

from tidemill.bigquery.retry import Policy
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.exports import told
from tidemill.exports.assembly import Assembly
from tidemill.exports.spec import ExportSpec
from tidemill.store.records import Export, Run

#: How long BigQuery is asked about jobs.
_ASKS_WITHIN_SECONDS = 30.0
#: What says that BigQuery cannot be asked by this credential any more, or that nothing is there to ask about.
_LASTING = (AccessError, ConfigError, NotFoundError)
_REASON = {"code": "connection_deleting", "message": "Its connection is being deleted.", "hint": ""}


class Ending:
    """See the module."""

    def __init__(self, made: Assembly) -> None:
        self._made, self._books, self._dispatch = made, made.books, made.dispatch

    def at_work(self, export: Export) -> list[str]:
        """What of an export is at work, or was when its process ended."""
        found = []
        for run in self._books.runs.running(export.id):
            if _is_stream(run):
                continue
            gone = self._made.shown.run(run).status != "running"
            found.append(f"run {run.id.hex[:8]}{' (interrupted)' if gone else ''}")
        if self._made.backfiller.moving(export):
            found.append("backfill")
        if _streams(export) and self._made.streaming.is_moved(export):
            found.append("stream")
        return found

    def request(self, export: Export, by: str) -> None:
        """Ask all that is at work to stop: runs with their BigQuery jobs, and a backfill. By its schedule nothing is
        begun. A stream comes to rest by itself, for its connection is marked."""
        self._made.scheduler.settle(export)
        self._books.schedules.pause(export.id, by, _REASON)
        backfill = self._books.backfills.unfinished(export.id)
        if backfill is not None:
            self._books.backfills.mark(backfill.id, "cancelled")
        for run in self._books.runs.running(export.id):
            if not _is_stream(run) and not run.cancel_requested:
                self._books.runs.request_cancel(run.id)
                told.asked_to_stop(self._made.parts, run)

    def still(self, export: Export) -> list[str]:
        """Runs that a living process moves still. Of one that gives no sign of life that is found out in time."""
        runs = [run for run in self._books.runs.running(export.id) if not _is_stream(run)]
        return [f"run {run.id.hex[:8]} of {export.name}" for run in runs if not self._dispatch.is_left(run)]

    def streams_on(self, export: Export) -> bool:
        """Whether its stream is in the middle of something still."""
        return _streams(export) and self._made.streaming.is_at_work(export)

    def delete(self, export: Export, *, force: bool) -> list[str]:
        """Delete one that nothing is at work on. The table stays. Gives remarks.

        `force`: also if BigQuery does not answer whether jobs are at work.

        Raises
        ------
        ConflictError
            Something is.
        TidemillError
            BigQuery does not answer.
        """
        with contextlib.ExitStack() as stack:
            if self.streams_on(export):
                self._made.streaming.cut_off(export)
            else:
                stack.enter_context(self._made.streaming.quiet(export, anyway=True))
            running = self._books.runs.running(export.id)
            for run in running:
                self._dispatch.assert_abandoned(run, export)
            remarks = self._settle(export, [*running, *self._books.runs.left(export.id)], force=force)
            for run in running:
                self._dispatch.note_cancelled(run)
            refusing = self._made.rejects.runs(export.id)
            with contextlib.suppress(NotFoundError):  # somebody else has deleted it
                self._books.exports.delete(export.id)
            self._made.rejects.dismiss(refusing, None)
        return remarks

    def _settle(self, export: Export, runs: Sequence[Run], *, force: bool) -> list[str]:
        """See that nothing of these runs is at work in BigQuery. Once it cannot be asked, it is not asked again."""
        try:
            for run in runs:
                self._dispatch.settle(run, _ASKS_WITHIN_SECONDS)
            if runs:
                self._cancel_others(export)
        except TidemillError as error:
            if not (force or isinstance(error, _LASTING)):
                raise unanswered(export.name, error) from None
            return [f"It could not be looked whether BigQuery is at jobs of {export.name}: {error.message}"]
        return []

    def _cancel_others(self, export: Export) -> None:
        """Cancel jobs of attempts that nobody knows any more. Where it may not be asked which there are, those that are
        known were enough."""
        with contextlib.closing(self._made.client(export)) as client, contextlib.suppress(AccessError):
            client.policy = Policy(deadline=_ASKS_WITHIN_SECONDS)
            client.locate(export.dataset)
            for job in client.at_work():
                if job.startswith(f"tidemill_{export.id.hex}_"):
                    client.settle(job, export.dataset, export.table_id)

    def find(self, connection_id: uuid.UUID) -> list[Export]:
        """The exports of a connection, by name."""
        return self._books.exports.find(connection_id)


def unanswered(name: str, error: TidemillError) -> ConflictError:
    """That it is not known whether jobs are at work."""
    return ConflictError(
        "jobs_unknown",
        f"BigQuery does not say whether it is still at jobs of {name}: {error.message}",
        hint="Run the command again when it answers. To delete the connection all the same: --force",
    )


def _is_stream(run: Run) -> bool:
    return run.mode == "stream"


def _streams(export: Export) -> bool:
    return ExportSpec.model_validate(export.spec).streams
