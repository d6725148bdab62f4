"""What runs of syncs have told, for people who look: of one, or of the last; also while it goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from tidemill import paging
from tidemill.paging import Page
from tidemill.schedules import lines as shown
from tidemill.schedules.lines import Found, LineView
from tidemill.store.records import RunLine
from tidemill.store.run_lines import RunLines, Wanted
from tidemill.store.sync_books import SyncBooks


class SyncLogs:
    """The logs of runs of syncs."""

    def __init__(self, books: SyncBooks, lines: RunLines) -> None:
        self._books, self._lines = books, lines

    def of(self, name: str, number: int | None = None, **wanted: Any) -> list[LineView]:
        """Lines of the run of that number, in order; without one, of the last that had something to do. `wanted`: see
        `lines.wanted`.

        Raises
        ------
        NotFoundError
            There is no such run.
        ConfigError
            A level, or a time, is none.
        """
        found, run = self._found(name, number)
        return [_numbered(shown.view(line), run) for line in found.look(shown.wanted(**wanted))]

    def page(self, name: str, number: int, place: paging.Wanted, **wanted: Any) -> Page[LineView]:
        """Lines of a run by pages, in the order in which they were kept. Raises as `of`."""
        run = self._books.runs.numbered(self._books.syncs.get(name).id, number)
        lines = self._lines.page(run.id, shown.wanted(**wanted), place)
        return lines.map(lambda line: _numbered(shown.view(line), number))

    def follow(self, name: str, number: int | None = None, **wanted: Any) -> Iterator[LineView]:
        """Lines of that run as they come, until it is over; without a number, of all that come. Raises as `of`."""
        found, run = self._found(name, number)
        if number is not None:
            return (_numbered(line, run) for line in shown.followed(found, shown.wanted(**wanted)))
        return self._all(name, shown.followed(self._newest(name), shown.wanted(**wanted)))

    def _all(self, name: str, lines: Iterator[LineView]) -> Iterator[LineView]:
        """With the numbers of their runs."""
        sync = self._books.syncs.get(name)
        numbers: dict[str, int] = {}
        for line in lines:
            if line.run is not None and line.run not in numbers:
                numbers |= {run.id.hex[:8]: run.number for run in self._books.runs.find(sync.id)}
            yield _numbered(line, numbers.get(line.run or ""))

    def _newest(self, name: str) -> Found:
        def look(wanted: Wanted) -> list[RunLine]:
            return self._found(name, None)[0].look(wanted)  # a newer run may have begun

        return Found(look, lambda: False)

    def _found(self, name: str, number: int | None) -> tuple[Found, int | None]:
        sync = self._books.syncs.get(name)
        run = self._books.runs.last_telling(sync.id) if number is None else self._books.runs.numbered(sync.id, number)
        if run is None:
            return Found(lambda _: [], lambda: False), None
        found = Found(
            lambda wanted: self._lines.of_run(run.id, wanted),
            lambda: self._books.runs.get(run.id).status != "running",
        )
        return found, run.number


def _numbered(line: LineView, number: int | None) -> LineView:
    """Runs of syncs are known by their numbers."""
    return dataclasses.replace(line, run=str(number) if number is not None else None)
