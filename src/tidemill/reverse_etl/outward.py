"""The way of rows to another tool: each is mapped and checked, and what comes of that is delivered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tidemill.destinations import deliver
from tidemill.destinations.port import Outcome, Record, identity, rejected
from tidemill.errors import RowError
from tidemill.reverse_etl import line, nesting, told
from tidemill.reverse_etl import mapping as mappings
from tidemill.reverse_etl.journal import Journal, Way
from tidemill.reverse_etl.plan.port import PlanRow, PlanRows
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job, Parts


@contextlib.contextmanager
def opened(parts: Parts, job: Job, watch: Watch, tally: told.Tally) -> Iterator[Way]:
    """The way to the destination of a sync, for the time of the block."""
    with line.opened(parts, job, watch, tally=tally) as open_line:
        yield _Outward(open_line, job, watch)


class _Outward:
    """See Way."""

    def __init__(self, open_line: deliver.Line, job: Job, watch: Watch) -> None:
        self._line, self._job, self._watch = open_line, job, watch

    def ahead(self, _: PlanRows) -> None:
        """See Way. To map rows is Python's work: it would take from the delivery what it gives."""

    def take(self, pages: Journal, _: PlanRows) -> None:
        """See Way."""
        deliver.deliver(self._line, self._records(pages), pages.told)

    def _records(self, pages: Journal) -> Iterator[Record]:
        for position, row in pages.pending():
            self._watch.check()
            made = record_of(self._job, row)
            if isinstance(made, Outcome):
                pages.refused(position, made)
            else:
                yield made


def record_of(job: Job, row: PlanRow) -> Record | Outcome:
    """What is sent of a row; or why nothing is."""
    own = identity(str(job.sync.id), row.key, f"{row.since}:{row.hash}", row.op)
    try:
        mapped = job.mapping.apply(row.row, mappings.given_of(row.key, own, row.op))
    except RowError as error:
        return rejected(error.code, error.message)
    if nesting.is_too_deep(mapped):
        return rejected("nested_too_deep", f"Its fields are nested more than {nesting.MOST_LEVELS} levels deep.")
    fields = job.check(mapped, row.op)
    if isinstance(fields, Outcome):
        return fields
    return Record(row.key, own, row.op, job.spec.mode, fields, tried=row.since < job.wanted.first_tried)
