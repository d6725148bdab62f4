"""What a run that has ended says of its sync: which troubles are over, and which have come up."""

from __future__ import annotations

import datetime as dt

from tidemill.reverse_etl import alarms
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.reverse_etl.views import RunView
from tidemill.schedules import telling
from tidemill.store.records_notify import Cause
from tidemill.store.records_sync import Sync, SyncRun
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_things import Verdict

#: Codes of rows that no plan has: their keys are wrong.
_INVALID = ("key_", "cursor_")


def ended(books: SyncBooks, sync: Sync, run: SyncRun, following: dt.datetime | None) -> Verdict:
    """Of a run that began by itself. `following`: when the next one does."""
    if run.status == "failed":
        after = SyncSpec.model_validate(sync.spec).schedule.pause_after
        return Verdict(alarms=(alarms.failed(sync, run.error or {}, following, sync.failures + 1, after),))
    if run.status == "cancelled":
        return Verdict()
    verdict = _rows(books, sync, run)
    return Verdict((*telling.OF_RUNS, *verdict.over), verdict.alarms)


def by_hand(books: SyncBooks, sync: Sync, run: SyncRun) -> Verdict:
    """Of a run that somebody began, who sees what is wrong. What it mends is over for all."""
    if run.status not in {"completed", "skipped"}:
        return Verdict()
    waits = (Cause.PAUSED,) if sync.paused_at is None else ()
    return Verdict((Cause.FAILED, *waits, *_rows(books, sync, run).over))


def _rows(books: SyncBooks, sync: Sync, run: SyncRun) -> Verdict:
    """By the rows of a run that is completed. One that was skipped says nothing of them."""
    if run.status != "completed":
        return Verdict()
    spec, view = SyncSpec.model_validate(run.spec["sync"]), RunView.of(run, sync.name)
    over, found = [], []
    # Of rows that were refused before, each run would say the same.
    refused = books.rejects.refused(sync.id, run.number)
    rows = view.extracted - view.retried + sum(number for code, _, number in refused if code.startswith(_INVALID))
    if rows or not books.rejects.count(sync.id):
        alarm = alarms.rejects(sync, rows, spec.reject_share, refused)
        found += [alarm] if alarm else []
        over += [] if alarm else [Cause.REJECTS]
    if view.chosen is not None:  # it says nothing of how many rows there are to deliver
        return Verdict(tuple(over), tuple(found))
    alarm = None
    if spec.deviation is not None:
        usual = books.runs.planned(sync.id, run.number, alarms.RUNS)
        alarm = alarms.deviation(sync, view.extracted, usual, spec.deviation)
    found += [alarm] if alarm else []
    over += [] if alarm else [Cause.DEVIATION]
    return Verdict(tuple(over), tuple(found))
