"""One MERGE into a table at a time: two at once could both find that a row is not there yet, and it would come twice.

BigQuery lets two such statements run side by side, and starts one again only where both change the same rows ("DML
statement conflicts"). So the runs of an export take turns. A process that dies gives its turn away, while its job may
go on: a run writes the job's id down before it begins, and who has the turn waits for those that are not over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tidemill.bigquery.client import Client
from tidemill.exports.work import Parts, Work


@contextlib.contextmanager
def taken(parts: Parts, work: Work, client: Client, job_id: str) -> Iterator[None]:
    """For the time of the block no other MERGE of the export is at work. `job_id`: of the one that the block begins.

    Raises
    ------
    Cancelled
        The run was cancelled while it waited.
    ConflictError
        Another attempt took the run over meanwhile.
    UnavailableError
        The turn, or BigQuery, was lost.
    """
    export = work.export
    with parts.lock(f"merge:{export.id}", waiting=lambda: parts.watches.check(work.run.id)) as held:
        for run in parts.runs.merging(export.id):
            if run.merge_job and run.merge_job != job_id:
                client.wait_for(run.merge_job, export.dataset, export.table_id)
                parts.runs.merge_is_over(run.id, run.merge_job)
        parts.runs.note(work.run.id, attempt=work.run.attempt, merge_job=job_id)
        held.check()
        yield
