"""What a user can do with runs of exports: see them, go on with them, send their rows again, cancel them."""

from __future__ import annotations

from tidemill.errors import ConflictError
from tidemill.exports.assembly import Assembly
from tidemill.exports.set_aside import SetAside
from tidemill.exports.views import RunView
from tidemill.exports.watch import Report, untold

_SHOWN_REJECTS = 100


class RunService:
    """Runs."""

    def __init__(self, made: Assembly, set_aside: SetAside) -> None:
        self._exports, self._runs, self._rejects = made.books.exports, made.books.runs, made.books.rejects
        self._dispatch, self._backfiller, self._shown = made.dispatch, made.backfiller, made.shown
        self._set_aside = set_aside

    def find(self, export: str | None, *, limit: int) -> list[RunView]:
        """Runs, newest first, of one export or of all."""
        owner = self._exports.get(export).id if export else None
        return [self._shown.run(run) for run in self._runs.newest(owner, limit=limit)]

    def get(self, run_id: str) -> RunView:
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
            moved := self._set_aside.retry_these([run], None, by or run.created_by, progress)
        ):
            return moved[0]
        return self._shown.run(self._dispatch.retry(run, progress, arrived=arrived))

    def again(self, run_id: str, *, by: str, progress: Report = untold) -> RunView:
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
