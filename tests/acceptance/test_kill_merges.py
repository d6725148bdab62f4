"""Kill -9 in the middle of runs that merge: the tables end as one plain run leaves them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.installation import CONNECTION, Installation, kill_when
from tests.kill_checks import EVENTS, SMALL, as_a_plain_run_says, write


def test_runs_that_merge(installation: Installation, tmp_path: Path) -> None:
    chance, killed = random.Random(11), {"sessions": 0, "persons": 0}
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        for model in killed:
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
        for turn in range(3):
            write(tmp_path / f"{turn}.jsonl", chance, turn * EVENTS)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            for model in killed:
                done = {run.id for run in app.exports.runs.find(model, limit=50) if run.status == "completed"}

                def loaded(model: str = model, done: set[Any] = done, share: float = turn / 2) -> bool:
                    run = next(iter(app.exports.runs.find(model, limit=1)), None)
                    if run is None or run.id in done or not run.chunks:
                        return False
                    return sum(chunk.status == "loaded" for chunk in run.chunks) >= share * len(run.chunks)

                killed[model] += kill_when(installation.start("export", "run", model, **SMALL), loaded)
                assert installation.run("export", "run", model, **SMALL).returncode == 0
                as_a_plain_run_says(installation, app, model, turn)
        assert min(killed.values()) >= 1, killed
