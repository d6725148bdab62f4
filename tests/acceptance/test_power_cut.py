"""A machine that loses its power between any two steps of a run: the next start finishes it, with nothing twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation, write_events

#: prepare, three chunks of write, load and clean, merge, log, complete
STEPS = 13
SMALL = {"TIDEMILL_COMMIT_ROWS": "100", "TIDEMILL_CHUNK_BYTES": "4000"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_at_any_step(installation: Installation, tmp_path: Path, when: str) -> None:
    environment = {**installation.environment, **SMALL}
    expected: list[str] = []
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events", "run_log": True}, by="tester")
    cut = 0
    for step in range(STEPS):
        expected += write_events(tmp_path / f"{step}.jsonl", 300, first=step * 1_000)
        with installation.app(commit_rows=100) as app:
            app.events.load(str(tmp_path / f"{step}.jsonl"))
        worker = subprocess.run(
            [sys.executable, "-m", "tests.crash_worker", str(step), when],
            env=environment,
            cwd=Path(__file__).parents[2],
            timeout=120,
            check=False,
        )
        cut += worker.returncode != 0
        done = installation.run("export", "run", "daily", **SMALL)
        assert done.returncode == 0, done.stderr
        assert installation.uuids() == sorted(expected)
    logged = [row for row in installation.rows("tidemill_runs") if row["run_id"]]
    assert len({row["run_id"] for row in logged}) == len(logged), "a run is logged once"
    assert sum(row["row_count"] for row in logged) == len(expected)
    assert cut >= STEPS - 1  # the last numbers may lie beyond the end of a short run
