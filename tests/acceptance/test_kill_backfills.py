"""Kill -9 in the middle of backfills: the tables end as one plain run leaves them."""

from __future__ import annotations

import random
from pathlib import Path

from tests.installation import CONNECTION, Installation, kill_when
from tests.kill_checks import EVENTS, SMALL, as_a_plain_run_says, write


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
            for done in (0, 3):

                def reached(model: str = model, done: int = done) -> bool:
                    found = app.exports.backfills.find(model, limit=1)
                    return bool(found) and len(found[0].runs) > done and found[0].intervals_done >= done

                killed += kill_when(installation.start("export", "backfill", *words, **SMALL), reached)
                words = ["resume", model]
            ended = installation.run("export", "backfill", "resume", model, **SMALL)
            assert ended.returncode == 0, ended.stderr
            assert [view.status for view in app.exports.backfills.find(model, limit=9)] == ["completed"]
            as_a_plain_run_says(installation, app, model, turn)
        assert killed >= 3


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
                runs = app.exports.runs.find(model, limit=20)
                return sum(r.mode != "append" and all(c.status == "loaded" for c in r.chunks) for r in runs) >= 6

            words = ["start", model, "--from", "earliest", "--every", "day", *many]
            assert kill_when(installation.start("export", "backfill", *words, **SMALL), on_their_way)
            installation.local.set_faults([])
            ended = installation.run("export", "backfill", "resume", model, *many, **SMALL)
            assert ended.returncode == 0, ended.stderr
            as_a_plain_run_says(installation, app, model, 100 + number)
