"""What is done with workers that are killed, and how the tables are to be in the end."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

from tests.installation import Installation, write_events
from tests.schedules import make, now, queue, queued
from tests.streams import eventually

from tidemill.app import App
from tidemill.errors import ConfigError

#: Ways for rows to get in: straight, by write streams, by a stage and a MERGE.
EXPORTS = {"loaded": {}, "sent": {"delivery": "storage-write"}, "people": {"model": "persons"}}
EVENTS = 60
SILENT = """
    UPDATE tidemill_engine.workers
    SET seen_at = now() - interval '1 hour', suspected_at = now() - interval '1 hour' WHERE pid = %s
"""


def make_exports(app: App) -> None:
    """One of each way."""
    for name, fields in EXPORTS.items():
        make(app, name, interval="week", **fields)  # no real one ends meanwhile


def come(installation: Installation, folder: Path, turns: int, draw: random.Random, uuids: list[str]) -> Iterator[None]:
    """So many times events come, whose uuids are added, an interval ends, and some time passes; in between a backfill
    begins."""
    ends = []
    for turn in range(turns):
        file = folder / f"{turn}.jsonl"
        uuids += write_events(file, EVENTS, first=turn * EVENTS)
        with installation.app(commit_rows=10) as app:
            app.events.load(str(file))
            ends.append(now())
            for name in EXPORTS:
                queue(app, ends, name)
            if turn == turns // 2:
                _begin_backfill(app)
        time.sleep(draw.uniform(0, 3))
        yield


def _begin_backfill(app: App) -> None:
    """Of what is in the table by now, for workers to do beside all else."""
    with contextlib.suppress(ConfigError):  # nothing is in it yet
        found = app.exports.backfills.estimate("loaded", "earliest", None, "day")
        app.exports.backfills.begin("loaded", found, by="tester", parallel=2, background=True)


def settled(app: App) -> None:
    """Wait until all that is due is done."""
    eventually(lambda: not any(queued(app, name) for name in EXPORTS), "all intervals are run")
    eventually(lambda: not app.books.pieces.any(), "the backfill is over")


def exact(installation: Installation, app: App, uuids: list[str], turns: int) -> None:
    """Each row once, each interval run once."""
    assert installation.uuids("loaded") == uuids
    assert installation.uuids("sent") == uuids
    people = [str(row["distinct_id"]) for row in installation.rows("people")]
    assert sorted(people) == sorted({f"user-{number % 100}" for number in range(turns * EVENTS)})
    for name in EXPORTS:
        runs = [run for run in app.exports.runs.find(name, limit=1_000) if run.created_by == "schedule"]
        assert {run.status for run in runs} == {"completed"}
        assert len({run.interval_end for run in runs}) == len(runs) == turns
        assert app.exports.get(name).trouble is None
    assert {backfill.status for backfill in app.exports.backfills.find("loaded", limit=9)} <= {"completed"}
