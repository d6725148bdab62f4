"""What is done with workers that are killed, and how the tables are to be in the end."""

from __future__ import annotations

import contextlib

from tests.installation import Installation

from tidemill.app import App
from tidemill.errors import ConfigError

#: Ways for rows to get in: straight, by write streams, by a stage and a MERGE.
EXPORTS = {"loaded": {}, "sent": {"delivery": "storage-write"}, "people": {"model": "persons"}}
EVENTS = 60
SILENT = """
    UPDATE tidemill_engine.workers
    SET seen_at = now() - interval '1 hour', suspected_at = now() - interval '1 hour' WHERE pid = %s
"""


def begin_backfill(app: App) -> None:
    """Of what is in the table by now, for workers to do beside all else."""
    with contextlib.suppress(ConfigError):  # nothing is in it yet
        found = app.exports.estimate("loaded", "earliest", None, "day")
        app.exports.backfill("loaded", found, by="tester", parallel=2, background=True)


def exact(installation: Installation, app: App, uuids: list[str], turns: int) -> None:
    """Each row once, each interval run once."""
    assert installation.uuids("loaded") == uuids
    assert installation.uuids("sent") == uuids
    people = [str(row["distinct_id"]) for row in installation.rows("people")]
    assert sorted(people) == sorted({f"user-{number % 100}" for number in range(turns * EVENTS)})
    for name in EXPORTS:
        runs = [run for run in app.exports.runs(name, limit=1_000) if run.created_by == "schedule"]
        assert {run.status for run in runs} == {"completed"}
        assert len({run.interval_end for run in runs}) == len(runs) == turns
        assert app.exports.get(name).trouble is None
