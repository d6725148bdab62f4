"""What a user can have workers do of exports, beside their schedules: a run, another try of one, or rows that were set
aside. Who asks for it need not wait."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from tidemill.engine.port import Engine
from tidemill.errors import ConflictError, NotFoundError
from tidemill.exports import draft
from tidemill.store.books import Books
from tidemill.store.export_triggers import ExportTrigger
from tidemill.store.records import Export, Run

#: What can be wanted; see store.export_triggers.
RUN, RETRY, AGAIN, REJECTS = "run", "retry", "again", "rejects"
WAITING, RUNNING, COMPLETED, FAILED = "waiting", "running", "completed", "failed"


@dataclasses.dataclass(frozen=True)
class TriggerView:
    """Something that a worker is to do. `status`: waiting, running, completed or failed; `already`: it waited before it
    was asked for, and nothing more is begun; `runs`: ids of those that were moved: none if nothing was new; `error`:
    code, message and hint of why it failed, or what it waits for."""

    id: uuid.UUID
    export: str
    what: str
    run: uuid.UUID | None
    status: str
    already: bool
    by: str
    at: dt.datetime
    finished_at: dt.datetime | None
    runs: tuple[uuid.UUID, ...]
    error: dict[str, str] | None

    @property
    def is_over(self) -> bool:
        """Whether it stays like that."""
        return self.finished_at is not None


class TriggerService:
    """See the module. It needs neither BigQuery nor the event store."""

    def __init__(self, books: Books, engine: Engine) -> None:
        self._exports, self._runs, self._triggers = books.exports, books.runs, books.triggers
        self._rejects, self._engine = books.rejects, engine

    def run(self, name: str, *, by: str) -> TriggerView:
        """Have a worker export what is new, whatever the schedule of the export says, also while that is paused.

        Raises
        ------
        ConfigError
            It is a stream.
        ConflictError
            Its connection is being deleted.
        """
        draft.assert_by_runs(export := self._exports.get(name))
        return self._added(export, RUN, by)

    def retry(self, run_id: str, *, by: str, arrived: bool | None = None) -> TriggerView:
        """Have a worker go on with a run that failed, was cancelled or interrupted; or try again what it set aside. See
        RunService.retry.

        Raises
        ------
        ConflictError
            A living process moves it; or it is completed, and nothing is left of it.
        """
        run = self._left(run_id)
        return self._added(self._exports.by_id(run.export_id), RETRY, by, run=run, arrived=arrived)

    def again(self, run_id: str, *, by: str) -> TriggerView:
        """Have a worker send all rows of a completed run again; see RunService.again.

        Raises
        ------
        ConflictError
            It is not completed.
        """
        run = self._runs.get(run_id)
        if run.status != "completed":
            raise ConflictError(
                "run_not_completed",
                f"Run {run.id.hex[:8]} is {run.status}.",
                hint=f"Finish it: tidemill export run retry {run.id.hex[:8]}",
            )
        return self._added(self._exports.by_id(run.export_id), AGAIN, by, run=run)

    def rejects(self, name: str, *, run_id: str | None = None, code: str | None = None, by: str) -> TriggerView:
        """Have a worker try again the rows that runs of an export set aside; see SetAside.retry."""
        export = self._exports.get(name)
        run = self._runs.get(run_id) if run_id is not None else None
        if run is not None and run.export_id != export.id:
            raise ConflictError(
                "run_of_another",
                f"Run {run.id.hex[:8]} is none of {export.name}.",
                hint=f"tidemill export runs {export.name}",
            )
        return self._added(export, REJECTS, by, run=run, code=code)

    def get(self, name: str, trigger_id: uuid.UUID) -> TriggerView:
        """How something stands that an export was asked for; NotFoundError if there is no such thing."""
        export, found = self._exports.get(name), self._triggers.by_id(trigger_id)
        if found.export_id != export.id:
            raise NotFoundError("trigger_unknown", "There is no such trigger.", hint="It is kept for a month.")
        return _view(export, found)

    def _left(self, run_id: str) -> Run:
        """A run of which something is left to do, as far as can be seen now."""
        run = self._runs.get(run_id)
        if run.status == "running" and (run.worker is None or self._engine.alive(run.worker)):
            raise ConflictError(
                "run_running",
                f"Run {run.id.hex[:8]} is running, begun by {run.created_by}.",
                hint=f"Wait for it, or stop it: tidemill export run cancel {run.id.hex[:8]}",
            )
        if run.status == "completed" and not self._rejects.find(kind="run", source=str(run.id), limit=1):
            raise ConflictError(
                "run_completed",
                f"Run {run.id.hex[:8]} is completed: nothing is left to retry.",
                hint=f"Export what is new: tidemill export run {self._exports.by_id(run.export_id).name}",
            )
        return run

    def _added(
        self,
        export: Export,
        what: str,
        by: str,
        *,
        run: Run | None = None,
        code: str | None = None,
        arrived: bool | None = None,
    ) -> TriggerView:
        run_id = run.id if run is not None else None
        found, already = self._triggers.add(export.id, what, by, run_id=run_id, code=code, arrived=arrived)
        return _view(export, found, already=already)


def _view(export: Export, found: ExportTrigger, *, already: bool = False) -> TriggerView:
    if found.finished_at is None:
        status = RUNNING if found.worker else WAITING
    else:
        status = FAILED if found.error else COMPLETED
    return TriggerView(
        id=found.id,
        export=export.name,
        what=found.what,
        run=found.run_id,
        status=status,
        already=already,
        by=found.by,
        at=found.at,
        finished_at=found.finished_at,
        runs=tuple(found.runs),
        error=found.error,
    )
