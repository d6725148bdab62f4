"""What a user can do with rows that runs set aside: see, write into a file, dismiss and try again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tidemill.errors import ConfigError, ConflictError
from tidemill.exports.backfill import Backfiller
from tidemill.exports.dispatch import Dispatch
from tidemill.exports.rejects import RunRejects
from tidemill.exports.shown import Shown
from tidemill.exports.views import RejectView, RunView
from tidemill.exports.watch import Report, untold
from tidemill.exports.work import Parts, model_of
from tidemill.paging import Page, Wanted
from tidemill.store.records import Run
from tidemill.tabular import Form


class SetAside:
    """Rows that runs set aside."""

    def __init__(
        self, parts: Parts, rejects: RunRejects, dispatch: Dispatch, backfiller: Backfiller, shown: Shown
    ) -> None:
        self._exports, self._runs, self._rejects = parts.exports, parts.runs, rejects
        self._dispatch, self._backfiller, self._shown = dispatch, backfiller, shown

    def find(
        self, name: str | None = None, *, run_id: str | None = None, code: str | None = None, limit: int = 50
    ) -> list[RejectView]:
        """What runs set aside and no later run went over again, newest first; of all exports, one, or one run."""
        exports = [self._exports.get(name)] if name else self._exports.find()
        known = {export.id: export.name for export in exports}
        runs = [run for run in self._chosen(name, run_id) if run.export_id in known]
        return self._rejects.find(runs, known, code=code, limit=limit)

    def page(
        self,
        name: str,
        *,
        run_id: str | None = None,
        code: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[RejectView]:
        """The same of one export, or of one run of it, by pages, newest first."""
        export = self._exports.get(name)
        which = self._chosen(name, run_id)[0].id if run_id is not None else None
        return self._rejects.page(export, which, code, wanted)

    def export(self, name: str, out: Path, *, run_id: str | None = None, code: str | None = None) -> int:
        """Write the events of those rows to a file, to be mended and loaded. Gives their number."""
        self._assert_events(name)
        return self._rejects.write(self._chosen(name, run_id), out, code=code)

    def lines(
        self, name: str, form: Form = "json", *, run_id: str | None = None, code: str | None = None
    ) -> Iterator[str]:
        """The same, as lines of JSON, or of CSV, as they are read."""
        self._assert_events(name)
        return self._rejects.lines(self._chosen(name, run_id), form, code=code)

    def _assert_events(self, name: str) -> None:
        model = model_of(self._exports.get(name))
        if model.event_column is None:
            raise ConfigError(
                "rejects_no_events",
                f"A row of {model.name} is no event that could be mended.",
                hint=f"tidemill export rejects list {name} says why; raise the limit, and retry.",
            )

    def dismiss(self, name: str, *, run_id: str | None = None, code: str | None = None) -> int:
        """List those rows no longer: somebody has seen to them. Gives their number."""
        return self._rejects.dismiss(self._chosen(name, run_id), code)

    def retry(
        self,
        name: str,
        *,
        run_id: str | None = None,
        code: str | None = None,
        by: str,
        progress: Report = untold,
    ) -> list[RunView]:
        """Try those rows again, by a run for each run that set some aside. What still cannot be sent is set aside anew.

        Raises
        ------
        ConflictError
            A run of this export is running, or did not end well and is to be finished first.
        """
        return self.retry_these(self._chosen(name, run_id), code, by, progress)

    def retry_these(self, runs: list[Run], code: str | None, by: str, progress: Report) -> list[RunView]:
        """The same, of these runs of one export."""
        if not runs:
            return []
        export = self._exports.by_id(runs[0].export_id)
        self._backfiller.assert_none(export)
        moved = self._dispatch.retry_rejects(export, runs, code=code, by=by, report=progress)
        return [self._shown.run(run) for run in moved]

    def _chosen(self, name: str | None, run_id: str | None) -> list[Run]:
        """The runs that are meant, oldest first."""
        export = self._exports.get(name) if name else None
        if run_id is None:
            return self._rejects.runs(export.id if export else None)
        run = self._runs.get(run_id)
        if export and run.export_id != export.id:
            raise ConflictError(
                "run_of_another",
                f"Run {run.id.hex[:8]} is none of {export.name}.",
                hint=f"tidemill export runs {export.name}",
            )
        return [run]
