"""Kill -9 while a MERGE is at work in BigQuery: the next process waits for it."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, kill_when
from tests.kill_checks import EVENTS, SMALL, as_a_plain_run_says, rows, write

#: The next statement is a job that is at work until another plan is in force.
SLOW = [{"path": "^/bigquery/v2/projects/[^/]+/jobs$", "method": "POST", "fault": "slow_job", "seconds": 600}]
OWN = {"sql": "SELECT uuid, event, distinct_id, timestamp FROM events", "key": ["uuid"], "versions": ["timestamp"]}


@pytest.mark.parametrize("kind", ["run", "backfill"])
def test_a_process_that_dies_while_its_merge_is_at_work(installation: Installation, tmp_path: Path, kind: str) -> None:
    """Whoever goes on finds the job, and waits for it: the statement is run once."""
    models: dict[str, dict[str, Any]] = {
        model: {"model": model} for model in ("persons", "sessions", "amplitude_events")
    }
    models |= {"own": OWN}
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        write(tmp_path / "first.jsonl", random.Random(17), 0)
        app.events.load(str(tmp_path / "first.jsonl"))
        for model, fields in models.items():
            app.exports.create(CONNECTION, {"name": model, "table": model, "team_id": 1, **fields}, by="t")
            app.exports.run(model, by="t")
        write(tmp_path / "second.jsonl", random.Random(18), EVENTS)
        app.events.load(str(tmp_path / "second.jsonl"))
        for number, model in enumerate(models):
            words = ["run", model]
            if kind == "backfill" or model == "amplitude_events":  # whose events do not change
                app.exports.run(model, by="t")
                client = installation.client()
                client.query(f"DELETE FROM `{installation.dataset}.{model}` WHERE TRUE", job_id=f"test_work_{model}")
                client.close()
                words = ["backfill", "start", model, "--from", "earliest"]
                words += ["--every", "week"] if model in {"sessions", "amplitude_events"} else []
            installation.local.set_faults(SLOW)
            process = installation.start("export", *words, **SMALL)
            assert kill_when(process, lambda: len(merges(installation, "running")) > 0)
            at_work, seen = merges(installation, "running"), len(installation.local.requests())
            again = installation.start("export", *(["backfill", "resume", model] if len(words) > 2 else words), **SMALL)
            (job,) = at_work
            while not any(job in request["path"] for request in installation.local.requests()[seen:]):
                assert again.poll() is None, again.communicate()
                time.sleep(0.1)
            installation.local.set_faults([])
            assert again.wait(180) == 0, again.communicate()
            again.communicate()
            assert {job.rpartition("_a")[2] for job in merges(installation)} == {"1_merge"}, "no attempt ran another"
            if model == "own":
                assert len(rows(installation, "own")) == len(set(rows(installation, "own"))) == 2 * EVENTS
            else:
                as_a_plain_run_says(installation, app, model, 200 + number)


def merges(installation: Installation, *states: str) -> list[str]:
    """Ids of the MERGE jobs of this installation."""
    client = installation.client()
    try:
        found = client.google().list_jobs(max_results=400, state_filter=states[0] if states else None)
        return [job.job_id for job in found if job.job_id.endswith("_merge") and installation.dataset in job.query]
    finally:
        client.close()
