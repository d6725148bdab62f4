"""Kill -9 in the middle of runs that merge, and of backfills: the tables end as one plain run leaves them."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, kill_when

from tidemill.app import App

SMALL = {"TIDEMILL_COMMIT_ROWS": "100", "TIDEMILL_CHUNK_BYTES": "8000"}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EVENTS, DAYS = 400, 8


def write(file: Path, chance: random.Random, first: int) -> None:
    """Events of people who turn out to be the same, in sessions, on some days."""
    with file.open("w") as out:
        for number in range(first, first + EVENTS):
            kind = chance.choice(["$pageview", "$identify", "$set"])
            properties: dict[str, Any] = {"$session_id": f"0190a000-0000-7000-8000-{chance.randrange(90):012x}"}
            properties |= {"$anon_distinct_id": f"p{chance.randrange(300)}"} if kind == "$identify" else {}
            properties |= {"$set": {"n": number}} if kind == "$set" else {}
            event = {"uuid": str(number), "event": kind, "distinct_id": f"p{chance.randrange(300)}", "team_id": 1}
            time = (START + dt.timedelta(seconds=chance.randrange(DAYS * 86400))).isoformat()
            out.write(json.dumps({**event, "timestamp": time, "properties": properties}) + "\n")


def rows(installation: Installation, table: str) -> list[str]:
    """Of a table, without the times of their hand-over."""
    client = installation.client()
    found = [dict(row) for row in client.google().list_rows(f"{client.project}.{installation.dataset}.{table}")]
    client.close()
    for row in found:
        row.pop("bq_updated_timestamp", None)
        row.pop("bq_ingested_timestamp", None)
    return sorted(map(str, found))


def as_a_plain_run_says(installation: Installation, app: App, model: str, number: int) -> None:
    """The table of the model's export is verified, and is what one run into a table of its own gives."""
    assert app.exports.verify(model, by="t").different == ()
    plain = f"plain_{model}_{number}"
    app.exports.create(CONNECTION, {"name": plain, "model": model, "table": plain, "team_id": 1}, by="t")
    app.exports.run(plain, by="t")
    assert rows(installation, model) == rows(installation, plain)
    client = installation.client()
    assert not [table for table in client.list_tables(installation.dataset) if "stage" in table]
    client.close()


def test_runs_that_merge(installation: Installation, tmp_path: Path) -> None:
    chance, killed = random.Random(11), {"sessions": 0, "persons": 0}
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        for model in killed:
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
        for turn in range(4):
            write(tmp_path / f"{turn}.jsonl", chance, turn * EVENTS)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            for model in killed:
                done = {run.id for run in app.exports.runs(model, limit=50) if run.status == "completed"}

                def loaded(model: str = model, done: set[Any] = done, share: float = turn / 3) -> bool:
                    run = next(iter(app.exports.runs(model, limit=1)), None)
                    if run is None or run.id in done or not run.chunks:
                        return False
                    return sum(chunk.status == "loaded" for chunk in run.chunks) >= share * len(run.chunks)

                killed[model] += kill_when(installation.start("export", "run", model, **SMALL), loaded)
                assert installation.run("export", "run", model, **SMALL).returncode == 0
                as_a_plain_run_says(installation, app, model, turn)
        assert min(killed.values()) >= 2, killed


def test_a_backfill(installation: Installation, tmp_path: Path) -> None:
    chance, killed = random.Random(12), 0
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        for turn, model in enumerate(("events", "sessions")):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
            write(tmp_path / f"{turn}.jsonl", chance, turn * EVENTS)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            app.exports.run(model, by="t")
            client = installation.client()
            client.query(f"DELETE FROM `{installation.dataset}.{model}` WHERE TRUE", job_id=f"test_{model}")
            client.close()
            words = ["start", model, "--from", "earliest", "--every", "day"]
            for done in (0, 1, 3, 5):

                def reached(model: str = model, done: int = done) -> bool:
                    found = app.exports.backfills(model, limit=1)
                    return bool(found) and len(found[0].runs) > done and found[0].intervals_done >= done

                killed += kill_when(installation.start("export", "backfill", *words, **SMALL), reached)
                words = ["resume", model]
            ended = installation.run("export", "backfill", "resume", model, **SMALL)
            assert ended.returncode == 0, ended.stderr
            assert [view.status for view in app.exports.backfills(model, limit=9)] == ["completed"]
            as_a_plain_run_says(installation, app, model, turn)
        assert killed >= 5


def test_a_backfill_that_is_killed_with_many_intervals_on_their_way(installation: Installation, tmp_path: Path) -> None:
    """Each thread of the process that resumes it takes over the interval it goes on with, and none of the others."""
    many = ["--parallel", "8"]
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        for number, model in enumerate(("events", "sessions")):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
            write(tmp_path / "events.jsonl", random.Random(13 + number), number * EVENTS)
            app.events.load(str(tmp_path / "events.jsonl"))
            app.exports.run(model, by="t")
            client = installation.client()
            client.query(f"DELETE FROM `{installation.dataset}.{model}` WHERE TRUE", job_id=f"test_many_{model}")
            client.close()
            jobs = {"path": "^/bigquery/v2/projects/[^/]+/jobs$", "method": "POST", "times": 1000, "fault": "cut"}
            installation.local.set_faults([jobs])  # no MERGE gets through: all that can be on its way is

            def on_their_way(model: str = model) -> bool:
                runs = app.exports.runs(model, limit=20)
                return sum(r.mode != "append" and all(c.status == "loaded" for c in r.chunks) for r in runs) >= 6

            words = ["start", model, "--from", "earliest", "--every", "day", *many]
            assert kill_when(installation.start("export", "backfill", *words, **SMALL), on_their_way)
            installation.local.set_faults([])
            ended = installation.run("export", "backfill", "resume", model, *many, **SMALL)
            assert ended.returncode == 0, ended.stderr
            as_a_plain_run_says(installation, app, model, 100 + number)


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
