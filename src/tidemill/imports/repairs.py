"""Takes rows in that were refused, and that somebody has repaired."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidemill.destinations.port import Op, Status
from tidemill.imports import taking
from tidemill.imports.taking import Taking
from tidemill.imports.verdicts import Wrong
from tidemill.reverse_etl.rejects import SyncRejectService
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job
from tidemill.store.records_sync import Reject
from tidemill.store.sync_rejects import SyncRejects

#: Rows that are in memory together.
_AT_ONCE = 1_000


def repair(
    way: Taking,
    service: SyncRejectService,
    rejects: SyncRejects,
    job: Job,
    rows: Iterable[Mapping[str, Any]],
    watch: Watch,
) -> tuple[int, list[Wrong]]:
    """Take rows in, some at a time: each with its key as it is listed, and its columns. Gives how many were taken, and
    what is wrong with the others. What is done twice has the effect of once."""
    number = 0
    errors: list[Wrong] = []
    left = iter(rows)
    while batch := list(itertools.islice(left, _AT_ONCE)):
        watch.check()
        chosen, wrong = _chosen(rejects, job, batch)
        errors += wrong
        made = taking.repaired(chosen, job.wanted.columns, job.run.began_at)
        outcomes, _ = way.take(job, made, lambda _: {})
        good = [chosen[place]["key"] for place, outcome in outcomes.items() if outcome.status is Status.WRITTEN]
        errors += [
            Wrong(chosen[place]["key"], "", outcome.code, outcome.message)
            for place, outcome in sorted(outcomes.items())
            if outcome.status is not Status.WRITTEN
        ]
        if good:
            service.adopt(job.spec.name, good)
            number += len(good)
    return number, errors


def _chosen(
    rejects: SyncRejects, job: Job, batch: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Wrong]]:
    """Those that can be taken in, and why others cannot."""
    known = {one.key: one for one in rejects.known(job.sync.id, [str(row["key"]) for row in batch])}
    chosen, errors = [], []
    for row in batch:
        key = str(row["key"])
        reject = known.pop(key, None)  # of one that is there twice, the first is taken
        wrong = _unknown(key) if reject is None else _wrong(reject, row["row"])
        if wrong is None:
            chosen.append({"key": key, "row": row["row"]})
        else:
            errors.append(wrong)
    return chosen, errors


def _unknown(key: str) -> Wrong:
    message = f"No row that was refused has the key {key!r}; or it was taken already."
    return Wrong(key, "", "row_unknown", message)


def _wrong(reject: Reject, row: Any) -> Wrong | None:
    """Why a row that was refused cannot be repaired."""
    if reject.status == "invalid":  # nothing says which row of the table it is, or when it is passed
        return Wrong(reject.key, "", reject.code, reject.message)
    if reject.op == Op.DELETED:
        return Wrong(reject.key, "", "row_gone", "It is gone from the table: there is nothing to repair.")
    if row is None:
        return Wrong(reject.key, "", "row_missing", "Its columns are not in the file: row is null.")
    return None
