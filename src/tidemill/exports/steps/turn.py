"""One MERGE into a table at a time: two at once could both find that a row is not there yet, and it would come twice.

BigQuery lets two such statements run side by side, and starts one again only where both change the same rows ("DML
statement conflicts"). So the runs of an export take turns. A process that dies gives its turn away, while its job may
go on: a run writes the job's id down before it begins, and who has the turn waits for those that are not over.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator

from tidemill import logbook
from tidemill.bigquery.client import Client
from tidemill.exports.work import Held, Parts, Work
from tidemill.store.records import Export


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
    """For the time of the block no other MERGE of the export is at work.

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

    with _locked(parts, work.export, waiting) as held:
        changed = _wait_for_others(parts, work.export, client, own=work.job_id("merge"))
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
        _wait_for_others(parts, export, client)
        yield Turn(client, held)


def _locked(
    parts: Parts, export: Export, waiting: Callable[[], None] | None = None
) -> contextlib.AbstractContextManager[Held]:
    return parts.lock(f"merge:{export.id}", waiting=waiting)


def _wait_for_others(parts: Parts, export: Export, client: Client, own: str | None = None) -> dict[uuid.UUID, int]:
    """Gives the rows that each run has changed by a statement that it did not see the end of."""
    changed = {}
    for run in parts.runs.merging(export.id):
        if run.merge_job and not (own and run.merge_job.startswith(own)):
            logbook.info("It waits for a MERGE that was left at work.", job=run.merge_job)
            changed[run.id] = client.wait_for(run.merge_job, export.dataset, export.table_id)
            parts.runs.merge_is_over(run.id, run.merge_job)
    return changed
