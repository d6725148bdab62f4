"""A MERGE into more partitions than one job may modify is done by several statements."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.exports.steps import finish

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def load(app: App, folder: Path, first: int, count: int) -> None:
    file = folder / f"{first}.jsonl"
    with file.open("w") as out:
        for number in range(first, first + count):
            session = f"0190a000-0000-7000-8000-{number % 12:012d}"
            hit = {"uuid": f"u{number}", "event": "$pageview", "distinct_id": "ana", "team_id": 1}
            moment = (START + dt.timedelta(hours=number * 5 % 97)).isoformat()
            out.write(json.dumps({**hit, "timestamp": moment, "properties": {"$session_id": session}}) + "\n")
    assert app.events.load(str(file), "posthog").rows == count


def merges(installation: Installation) -> list[Any]:
    client = installation.client()
    try:
        jobs = client.google().list_jobs(max_results=300)
        return [job for job in jobs if "MERGE" in getattr(job, "query", "") and installation.dataset in job.query]
    finally:
        client.close()


@pytest.mark.parametrize("model", ["events", "sessions"])
def test_rows_of_many_partitions_are_merged_a_part_at_a_time(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    column = "timestamp" if model == "events" else "start_timestamp"
    fields = {"name": "hourly", "model": model, "table": "hourly", "partition_by": f"{column}:hour"}
    with installation.app(commit_rows=10) as app:
        installation.connect(app)
        load(app, tmp_path, 0, 5)
        app.exports.create(CONNECTION, fields, by="t")
        app.exports.run("hourly", by="t")
        app.exports.delete("hourly")
        monkeypatch.setattr(finish, "_PARTITIONS", 3)
        load(app, tmp_path, 5, 60)
        app.exports.create(CONNECTION, fields, by="t")  # the table is there: only what it lacks is added
        before = len(merges(installation))
        (run,) = app.exports.run("hourly", by="t")
        assert len(merges(installation)) - before > 3
        assert (run.status, run.mode) == ("completed", "merge" if model == "events" else "upsert")
        assert run.rows_done == len(installation.rows("hourly")) - (5 if model == "events" else 0)
        load(app, tmp_path, 65, 40)
        app.exports.run("hourly", by="t")
        assert app.exports.tables.verify("hourly", by="t").different == ()
        assert len(installation.rows("hourly")) == (105 if model == "events" else 12)
        estimate = app.exports.backfills.estimate("hourly", "earliest", None, "week")
        client = installation.client()
        client.query(f"DELETE FROM `{installation.dataset}.hourly` WHERE TRUE", job_id=f"test_{tmp_path.name}")
        client.close()
        app.exports.backfills.begin("hourly", estimate, by="t", parallel=2, progress=lambda _: None)
        assert app.exports.tables.verify("hourly", by="t").different == ()
