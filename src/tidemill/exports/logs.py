"""What runs have told, for people who look: of one run, or of what an export does now; also while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidemill import paging
from tidemill.paging import Page
from tidemill.schedules import lines as shown
from tidemill.schedules.lines import Found, LineView
from tidemill.store.exports import Exports
from tidemill.store.run_lines import RunLines
from tidemill.store.runs import Runs


class Logs:
    """The logs of runs."""

    def __init__(self, exports: Exports, runs: Runs, lines: RunLines) -> None:
        self._exports, self._runs, self._lines = exports, runs, lines

    def of_run(self, run_id: str, **wanted: Any) -> list[LineView]:
        """Lines of a run, in order. `wanted`: see `lines.wanted`.

        Raises
        ------
        NotFoundError
            There is no such run.
        ConfigError
            A level, or a time, is none.
        """
        return [shown.view(line) for line in self._of_run(run_id).look(shown.wanted(**wanted))]

    def page(self, run_id: str, place: paging.Wanted, **wanted: Any) -> Page[LineView]:
        """Lines of a run by pages, in the order in which they were kept. Raises as `of_run`."""
        run = self._runs.get(run_id)
        return self._lines.page(run.id, shown.wanted(**wanted), place).map(shown.view)

    def of_export(self, name: str, **wanted: Any) -> list[LineView]:
        """Lines of the newest run of an export that had something to do; and of what happened since it began, and
        belongs to no run. Raises as `of_run`."""
        return [shown.view(line) for line in self._of_export(name).look(shown.wanted(**wanted))]

    def follow_run(self, run_id: str, **wanted: Any) -> Iterator[LineView]:
        """Lines of a run as they come, until it is over. Raises as `of_run`."""
        return shown.followed(self._of_run(run_id), shown.wanted(**wanted))

    def follow_export(self, name: str, **wanted: Any) -> Iterator[LineView]:
        """Lines of an export's runs as they come, without an end. Raises as `of_run`."""
        self._exports.get(name)
        return shown.followed(
            Found(lambda given: self._of_export(name).look(given), lambda: False), shown.wanted(**wanted)
        )

    def _of_run(self, run_id: str) -> Found:
        run = self._runs.get(run_id)
        return Found(
            lambda wanted: self._lines.of_run(run.id, wanted), lambda: self._runs.by_id(run.id).status != "running"
        )

    def _of_export(self, name: str) -> Found:
        export = self._exports.get(name)
        last, begun = self._lines.last_telling(export.id)
        return Found(lambda wanted: self._lines.of_export(export.id, last, begun, wanted), lambda: False)
