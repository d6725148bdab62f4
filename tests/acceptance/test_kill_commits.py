"""Kill -9 while BigQuery commits write streams: the next process finds out what came of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, kill_when
from tests.kill_checks import EVENTS, write

COMMIT = "/google.cloud.bigquery.storage.v1.BigQueryWrite/BatchCommitWriteStreams"
SMALL = {"TIDEMILL_COMMIT_ROWS": "100", "TIDEMILL_CHUNK_BYTES": "30000"}
#: It is asked, and nobody hears the answer: what it was asked for is done, or not.
PLANS: dict[str, dict[str, Any]] = {
    "done": {"path": COMMIT, "fault": "delay_response", "seconds": 600},
    "not done": {"path": COMMIT, "fault": "status", "times": 10_000},
}


@pytest.mark.parametrize(("plan", "model"), [("done", "events"), ("not done", "events"), ("done", "persons")])
def test_a_process_that_dies_while_its_commit_is_at_work(
    installation: Installation, tmp_path: Path, plan: str, model: str
) -> None:
    chance = random.Random(23)
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        fields = {"name": "daily", "model": model, "table": model, "delivery": "storage-write"}
        app.exports.create(CONNECTION, fields, by="tester")
        for turn in range(2):
            write(tmp_path / f"{turn}.jsonl", chance, turn * EVENTS)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            installation.local.set_faults([PLANS[plan]])

            def asked() -> bool:
                return bool(installation.local.faults()[0]["fired"])

            assert kill_when(installation.start("export", "run", "daily", **SMALL), asked)
            if model == "events":
                seen = EVENTS * (turn + (plan == "done"))
                while len(installation.uuids()) < seen:  # it is at it
                    pass
                assert len(installation.uuids()) == seen
            installation.local.set_faults([])
            done = installation.run("export", "run", "daily", **SMALL)
            assert done.returncode == 0, done.stderr
            assert "went on where it had stopped" in done.stderr + done.stdout
            found = app.exports.tables.verify("daily", by="tester")
            assert found.different == ()
        if model == "events":
            assert installation.uuids() == sorted(map(str, range(2 * EVENTS)))
