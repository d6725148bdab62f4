"""What became of the rows of a piece: kept as soon as it is known, so that who goes on with the run does not send them
again.

That a process is at a piece is kept before it sends anything. If it dies, rows of which nothing is known may have been
on their way: they are known as the same when they come again, and if they vanish from the model, they are deleted.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from tidemill.destinations.port import Outcome, Record, Status
from tidemill.errors import ConfigError
from tidemill.reverse_etl import kept
from tidemill.reverse_etl.plan.port import Piece, PlanRow, PlanRows, Unacknowledged
from tidemill.reverse_etl.work import Job, Parts
from tidemill.schedules import telling
from tidemill.store.sync_runs import Call

#: Rows that were refused before they were sent are kept together, up to so many.
_TOGETHER = 500
#: The code of rows that were on their way, maybe, when a process died.
INTERRUPTED = "interrupted"
#: Rows that are kept by one statement: each may have 100,000 characters.
_KEPT_AT_ONCE = 100


class Way(Protocol):
    """By which the rows of a piece get where they go."""

    def ahead(self, rows: PlanRows, /) -> None:
        """Do what can be done with the rows of a piece while others are taken. Called by threads that read."""

    def take(self, pages: Journal, rows: PlanRows, /) -> None:
        """Take them there. Each that had no outcome yet has one then, in the journal."""


class Journal:
    """Of one piece of a run. `rows`: those of the piece, in order."""

    def __init__(self, parts: Parts, job: Job, piece: Piece, rows: PlanRows) -> None:
        self._parts, self._job, self._piece, self._rows = parts, job, piece, rows
        self._positions = {key: position for position, key in enumerate(rows.keys)}
        self._calls = parts.books.runs.calls(job.run.id, piece.number)
        self._waiting: list[tuple[int, Outcome]] = []
        self._lost = False  # whether outcomes could not be kept
        #: How many rows were given which outcome by this process.
        self.outcomes: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Rows of the piece are sent in the block; what became of them is kept at its end."""
        runs = self._parts.books.runs
        entered = runs.enter(self._job.run.id, self._piece.number)
        try:
            yield
        finally:
            self.flush()
            if not self._lost:
                runs.leave(entered)

    def pending(self) -> Iterator[tuple[int, PlanRow]]:
        """Rows that have no outcome yet, each with its position."""
        known = {position for call in self._calls for position in call.positions}
        return ((position, row) for position, row in enumerate(self._rows) if position not in known)

    def left(self) -> list[int]:
        """Positions of those."""
        known = {position for call in self._calls for position in call.positions}
        return [position for position in range(len(self._rows)) if position not in known]

    def refused(self, position: int, outcome: Outcome) -> None:
        """A row will not be sent."""
        self._waiting.append((position, dataclasses.replace(outcome, here=True)))
        if len(self._waiting) >= _TOGETHER:
            self.flush()

    def told(self, outcomes: Iterable[tuple[Record, Outcome]]) -> None:
        """Rows were sent."""
        self.settled((self._positions[record.row_key], outcome) for record, outcome in outcomes)

    def settled(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """It is known what became of the rows at these positions."""
        self._waiting += outcomes
        self.flush()

    def flush(self) -> None:
        """Keep what is known.

        Raises
        ------
        ConfigError
            More rows were refused than a run may have.
        """
        waiting, self._waiting = self._waiting, []  # if it fails it may be done: what is not known is sent again
        if not waiting:
            return
        job, books = self._job, self._parts.books
        lost, self._lost = self._lost, True
        others = [(position, outcome) for position, outcome in waiting if outcome.status is not Status.WRITTEN]
        if others:
            for start in range(0, len(others), _KEPT_AT_ONCE):
                part = [kept.refused(self._rows[at], one) for at, one in others[start : start + _KEPT_AT_ONCE]]
                books.rejects.keep(job.sync.id, job.run.number, part)
        positions = [position for position, _ in waiting]
        told = [(at, str(one.status), one.code, one.message[: kept.MOST_MESSAGE], one.unsure) for at, one in others]
        books.runs.journal(job.run.id, Call(self._piece.number, positions, told))
        self._lost = lost
        self.outcomes.update(str(outcome.status) for _, outcome in waiting)
        most = job.spec.most_rejects
        if others and books.runs.get(job.run.id).rejected > most:
            raise ConfigError(
                "too_many_rejects",
                f"More than {most:,} rows were refused: the others are not tried.",
                hint=f"Look at them: {telling.of(job.sync, 'rejects list')}. Then mend the mapping, or "
                f"the model; or allow more: {telling.of(job.sync, 'edit')} --most-rejects N",
            )


def unacknowledged(calls: Sequence[Call], rows: Sequence[PlanRow]) -> Iterator[Unacknowledged]:
    """Of the rows of a piece, those that were not acknowledged, by its calls."""
    sent = {position for call in calls for position in call.positions}
    others = {told[0]: told for call in calls for told in call.others}
    died = any(not call.positions for call in calls)
    for position, row in enumerate(rows):
        if position in others:
            _, status, code, message, unsure = others[position]
            yield Unacknowledged(row.key, status, code, unsure, message)
        elif position not in sent and died:
            said = "The process died, and the row may have been on its way."
            yield Unacknowledged(row.key, "retry", INTERRUPTED, True, said)
        elif position not in sent:
            yield Unacknowledged(row.key, "unsent")
