"""A machine that loses its power between or within any steps of a run: the next start finishes it, nothing is twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation, write_events

#: Points of prepare, three chunks (its file is noted, its job done, that noted, the step), log, complete; or of
#: prepare, three chunks (its stream noted, the step), commit, log, complete.
STEPS = {"load": 15, "storage-write": 10}
#: Before a point is after the one before, but for what the engine remembers: that is the same for both. Every third
#: point, and in the torture each.
CUTS = [
    ("load", "after", 3),
    ("storage-write", "after", 3),
    *(
        pytest.param(delivery, when, 1, marks=pytest.mark.torture)
        for delivery in ("load", "storage-write")
        for when in ("before", "after")
    ),
]
SMALL = {"TIDEMILL_COMMIT_ROWS": "100"}
CHUNK = {"load": {"TIDEMILL_CHUNK_BYTES": "4000"}, "storage-write": {"TIDEMILL_CHUNK_BYTES": "30000"}}


def run_cut(environment: dict[str, str], step: int, when: str) -> bool:
    """Run the export in a process that ends there. Whether it did."""
    worker = subprocess.run(
        [sys.executable, "-m", "tests.crash_worker", str(step), when],
        env=environment,
        cwd=Path(__file__).parents[2],
        timeout=120,
        check=False,
    )
    return worker.returncode != 0


@pytest.mark.parametrize(("delivery", "when", "every"), CUTS)
def test_a_power_cut_at_any_step(
    installation: Installation, tmp_path: Path, delivery: str, when: str, every: int
) -> None:
    small = {**SMALL, **CHUNK[delivery]}
    environment = {**installation.environment, **small}
    expected: list[str] = []
    with installation.app() as app:
        installation.connect(app)
        fields = {"name": "daily", "table": "events", "run_log": True, "delivery": delivery}
        app.exports.create(CONNECTION, fields, by="tester")
    cut = 0
    steps = range(every - 1, STEPS[delivery], every)
    for step in steps:
        expected += write_events(tmp_path / f"{step}.jsonl", 300, first=step * 1_000)
        with installation.app(commit_rows=100) as app:
            app.events.load(str(tmp_path / f"{step}.jsonl"))
        cut += run_cut(environment, step, when)
        done = installation.run("export", "run", "daily", **small)
        assert done.returncode == 0, done.stderr
        assert installation.uuids() == sorted(expected)
    logged = [row for row in installation.rows("tidemill_runs") if row["run_id"]]
    assert len({row["run_id"] for row in logged}) == len(logged), "a run is logged once"
    assert sum(row["row_count"] for row in logged) == len(expected)
    assert cut >= len(steps) - 1  # the last numbers may lie beyond the end of a short run


#: The same of one chunk, with merge.
MERGE_STEPS = {"load": 8, "storage-write": 7}


@pytest.mark.parametrize(("delivery", "when", "every"), CUTS)
def test_a_power_cut_at_any_step_of_a_run_that_merges(
    installation: Installation, tmp_path: Path, delivery: str, when: str, every: int
) -> None:
    with installation.app() as app:
        installation.connect(app)
        fields = {"name": "daily", "model": "persons", "table": "persons", "run_log": True, "delivery": delivery}
        app.exports.create(CONNECTION, fields, by="tester")
    cut = 0
    steps = range(every - 1, MERGE_STEPS[delivery], every)
    for step in steps:
        with (tmp_path / f"{step}.jsonl").open("w") as file:
            for number in range(20):
                event = {"uuid": f"{step}-{number}", "event": "$set", "timestamp": "2026-01-01T00:00:00Z"}
                changed = {"distinct_id": f"p{number}", "properties": {"$set": {"step": step}}}
                file.write(json.dumps({**event, **changed}) + "\n")
        with installation.app() as app:
            app.events.load(str(tmp_path / f"{step}.jsonl"))
        cut += run_cut(installation.environment, step, when)
        done = installation.run("export", "run", "daily")
        assert done.returncode == 0, done.stderr
        rows = installation.rows("persons")
        assert len(rows) == len({row["distinct_id"] for row in rows}) == 20
        assert {json.loads(row["properties"])["step"] for row in rows} == {step}
    logged = [row for row in installation.rows("tidemill_runs") if row["run_id"]]
    assert len({row["run_id"] for row in logged}) == len(logged), "a run is logged once"
    assert {row["row_count"] for row in logged} == {20}
    assert cut >= len(steps) - 1
