"""One MERGE into a table at a time: two at once could both find that a row is not there yet, and it would come twice.

BigQuery lets two such statements run side by side, and starts one again only where both change the same rows ("DML
statement conflicts"). So the runs of an export take turns. A process that dies gives its turn away, while its job may
go on: a run writes the job's id down before it begins, and who has the turn waits for those that are not over.

Intervals of one backfill that only add what is missing have no row in common, and may merge at the same time: such a
statement never conflicts with others ("DML statement conflicts"). A run that waits for its turn lets no more of them
begin.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator

from tidemill import logbook
from tidemill.bigquery.client import Client
from tidemill.exports.work import Held, Parts, Work
from tidemill.store.records import Export, Run


class Turn:
    """A turn that somebody has. `changed`: rows that a MERGE of the same run's attempt before this one has changed."""

    def __init__(self, client: Client, held: Held, changed: int = 0) -> None:
        self.changed = changed
        self._client, self._held = client, held

    def cancelled(self) -> bool:
        """To be asked before each statement: whether to stop.

        Raises
        ------
        UnavailableError
            The turn was lost.
        """
        self._held.check()
        return self._client.cancelled()


@contextlib.contextmanager
def taken(parts: Parts, work: Work, client: Client) -> Iterator[Turn]:
    """For the time of the block no other MERGE of the export is at work, but for those with other rows.

    Raises
    ------
    Cancelled
        The run was cancelled while it waited.
    UnavailableError
        The turn, or BigQuery, was lost.
    """

    waited = False

    def waiting() -> None:
        nonlocal waited
        if not waited:
            logbook.info("Another MERGE of the export is at work: it waits.")
        waited = True
        parts.watches.check(work.run.id)

    shared = work.run.mode == "merge" and work.run.backfill_id is not None
    with _locked(parts, work.export, waiting, shared=shared) as held:
        changed = _wait_for_others(parts, work, client, shared=shared)
        yield Turn(client, held, changed.get(work.run.id, 0))


@contextlib.contextmanager
def alone(parts: Parts, export: Export, client: Client) -> Iterator[Turn]:
    """For the time of the block no MERGE of the export is at work, whatever became of its run.

    Raises
    ------
    UnavailableError
        The turn, or BigQuery, was lost.
    """
    with _locked(parts, export) as held:
        for run in parts.runs.merging(export.id):
            _wait_for(parts, export, run, client)
        yield Turn(client, held)


@contextlib.contextmanager
def _locked(
    parts: Parts, export: Export, waiting: Callable[[], None] | None = None, *, shared: bool = False
) -> Iterator[Held]:
    with contextlib.ExitStack() as queue:
        queue.enter_context(parts.lock(f"merge-queue:{export.id}", waiting=waiting))
        with parts.lock(f"merge:{export.id}", waiting=waiting, shared=shared) as held:
            if shared:
                queue.close()
            yield held


def _wait_for_others(parts: Parts, work: Work, client: Client, *, shared: bool) -> dict[uuid.UUID, int]:
    """Gives the rows that each run has changed by a statement that it did not see the end of."""
    own, changed = work.job_id("merge"), {}
    for run in parts.runs.merging(work.export.id):
        beside = shared and run.backfill_id == work.run.backfill_id and run.id != work.run.id
        if not beside and not (run.merge_job or "").startswith(own):
            logbook.info("It waits for a MERGE that was left at work.", job=run.merge_job)
            changed[run.id] = _wait_for(parts, work.export, run, client)
    return changed


def _wait_for(parts: Parts, export: Export, run: Run, client: Client) -> int:
    """Until the run's statement is over; the rows that it changed."""
    if not run.merge_job:
        return 0
    changed = client.wait_for(run.merge_job, export.dataset, export.table_id)
    parts.runs.merge_is_over(run.id, run.merge_job)
    return changed
