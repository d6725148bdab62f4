"""Exports that run by themselves, without waiting for a clock: intervals are put into the queue by hand."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.installation import CONNECTION, Installation, write_events

from tidemill.app import App
from tidemill.exports.service import ExportView
from tidemill.store.records import Export, Standing, Task
from tidemill.store.schedules import Schedules
from tidemill.store.tasks import Tasks

NAME = "hourly"
#: Long enough ago that no event of a test was acknowledged by then.
LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def now() -> dt.datetime:
    """A moment behind everything that was acknowledged."""
    return dt.datetime.now(dt.UTC)


def make(app: App, name: str = NAME, **fields: Any) -> ExportView:
    """An export by hours, of a table named after it."""
    made, _ = app.exports.create(CONNECTION, {"name": name, "table": name, **fields}, by="tester")
    return made


def record(app: App, name: str = NAME) -> Export:
    """The export as it is kept."""
    from tidemill.store.exports import Exports

    return Exports(app.database).get(name)


def standing(app: App, name: str = NAME) -> Standing:
    """How its schedule stands."""
    found = Schedules(app.database).get(record(app, name).id)
    assert found is not None
    return found


def queued(app: App, name: str = NAME) -> list[Task]:
    """What of it is in the queue."""
    return Tasks(app.database).of_export(record(app, name).id)


def queue(app: App, ends: Sequence[dt.datetime], name: str = NAME) -> None:
    """Have intervals that end then be due now: the first begins long ago, each other one where the last one ends."""
    spans = [(start, end, LONG_AGO) for start, end in itertools.pairwise([LONG_AGO, *ends])]
    export = record(app, name)
    later = ends[-1] + dt.timedelta(days=1)
    first = {"next_start": LONG_AGO, "expected_from": LONG_AGO, "next_end": later}  # else a worker has it at once
    Schedules(app.database).change(export.id, **first)
    assert Schedules(app.database).queue(standing(app, name), spans, later)


def work(app: App) -> int:
    """Do what is due now, as one worker; what becomes due meanwhile, too. Gives how many tasks were taken."""
    taken = 0
    while found := app.worker.look():
        taken += found
        app.worker.drain()
    return taken


def hasten(app: App, name: str = NAME) -> None:
    """What is to be tried again later is due now."""
    Tasks(app.database).hasten(record(app, name).id)


def load(app: App, folder: Path, count: int, *, first: int = 0) -> list[str]:
    """Some events."""
    uuids = write_events(folder / f"{first}.jsonl", count, first=first)
    app.events.load(str(folder / f"{first}.jsonl"))
    return uuids


@contextlib.contextmanager
def due(
    installation: Installation, folder: Path, *, deny: Sequence[str] = (), **fields: Any
) -> Iterator[tuple[App, list[str]]]:
    """An installation with an export of twenty events, whose first interval is due. Gives their uuids, too."""
    with installation.app(outbound_allow="127.0.0.1") as app:
        if deny:
            installation.connect(app, deny=list(deny))
        else:
            installation.connect(app)
        make(app, **fields)
        uuids = load(app, folder, 20)
        queue(app, [now()])
        yield app, uuids


def of_schedule(app: App) -> list[tuple[str, int]]:
    """State and rows of the runs, the oldest first."""
    runs = reversed(app.exports.runs.find(NAME, limit=100))
    return [(run.status, run.rows_done) for run in runs if run.created_by == "schedule"]
