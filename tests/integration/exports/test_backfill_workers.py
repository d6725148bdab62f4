"""Backfills that are put into the queue: workers move their intervals, some at once, and what is due goes on beside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation
from tests.schedules import load, make, now, queue, queued, work

from tidemill.app import App
from tidemill.errors import ConflictError
from tidemill.exports.backfill import BackfillView
from tidemill.store.figures import FiguresBook
from tidemill.store.pieces import Pieces
from tidemill.store.records import Piece

DAYS, EACH = 5, 3


@pytest.fixture
def exported(installation: Installation, tmp_path: Path) -> Iterator[App]:
    """Some days of events, all of them in two tables; then the rows of one are deleted."""
    with installation.app(worker_runs=3) as app:
        installation.connect(app)
        for name in ("hourly", "other"):
            make(app, name)
        rows = [
            {
                "uuid": f"{day}-{n}",
                "event": "e",
                "distinct_id": "d",
                "timestamp": f"2026-01-0{day}T10:00:00Z",
                "team_id": 1,
            }
            for day in range(1, DAYS + 1)
            for n in range(EACH)
        ]
        (tmp_path / "days.jsonl").write_text("\n".join(map(json.dumps, rows)))
        app.events.load(str(tmp_path / "days.jsonl"))
        for name in ("hourly", "other"):
            app.exports.run(name, by="t")
        empty(installation, "hourly")
        yield app


def empty(installation: Installation, table: str) -> None:
    client = installation.client()
    client.query(f"DELETE FROM `{installation.dataset}.{table}` WHERE TRUE", job_id=f"test_{os.urandom(6).hex()}")
    client.close()


def begin(app: App, name: str = "hourly", parallel: int = 2) -> BackfillView:
    found = app.exports.backfills.estimate(name, "earliest", None, "day")
    return app.exports.backfills.begin(name, found, by="t", parallel=parallel, background=True)


def state(app: App, name: str = "hourly") -> tuple[str, int, int]:
    view = app.exports.backfills.find(name, limit=1)[0]
    return view.status, view.intervals_done, view.intervals_failed


def take(app: App, limit: int = 100, per_connection: int = 100) -> list[Piece]:
    return Pieces(app.database).take("somebody", limit, per_connection)


def test_workers_bring_everything_back_once(installation: Installation, exported: App) -> None:
    assert begin(exported).status == "running"
    assert state(exported) == ("running", 0, 0)
    assert FiguresBook(exported.database).read().tasks["due"] == DAYS
    assert work(exported) == DAYS
    assert state(exported) == ("completed", DAYS, 0)
    assert len(installation.uuids("hourly")) == len(set(installation.uuids("hourly"))) == DAYS * EACH
    assert work(exported) == 0


def test_so_many_of_a_backfill_and_of_a_connection_are_moved_at_once(exported: App) -> None:
    begin(exported, "hourly", parallel=2)
    begin(exported, "other", parallel=4)
    first = take(exported, limit=3)
    assert [piece.number for piece in first] == [0, 0, 1], "of both in turn"
    assert len(take(exported)) == 3, "two of the one, four of the other"
    assert take(exported) == []
    for piece in first:
        Pieces(exported.database).done(piece)
    assert take(exported, per_connection=4) == [], "three are at work, and one place is left to what is due"
    assert len(take(exported, per_connection=5)) == 1


def test_what_is_due_has_a_place_beside_a_backfill(installation: Installation, exported: App, tmp_path: Path) -> None:
    begin(exported, parallel=8)
    assert exported.worker.look() == 2, "of three places"
    load(exported, tmp_path, 7, first=100)
    queue(exported, [now()], "other")
    work(exported)
    assert queued(exported, "other") == []
    assert state(exported) == ("completed", DAYS, 0)
    assert len(installation.uuids("other")) == DAYS * EACH + 7


def test_an_interval_that_fails_leaves_the_others_and_is_tried_again(installation: Installation, exported: App) -> None:
    load_jobs = {"method": "POST", "path": "/upload/bigquery/v2/projects/[^/]+/jobs", "nth": 2}
    installation.local.set_faults([{**load_jobs, "fault": "job_error", "reason": "invalid", "message": "No."}])
    begin(exported)
    work(exported)
    assert state(exported) == ("failed", DAYS - 1, 1)
    installation.local.set_faults([])
    exported.exports.backfills.resume("hourly", by="t", parallel=2, background=True)
    assert work(exported) == 1, "only what is not done"
    assert state(exported) == ("completed", DAYS, 0)
    assert len(installation.uuids("hourly")) == DAYS * EACH


def test_it_is_paused_and_gone_on_with_here_and_cancelled(installation: Installation, exported: App) -> None:
    begin(exported)
    with pytest.raises(ConflictError, match="is running"):
        exported.exports.backfills.resume("hourly", by="t", parallel=2)
    exported.exports.backfills.stop("hourly", cancel=False)
    assert work(exported) == 0
    assert state(exported) == ("paused", 0, 0)
    gone_on = exported.exports.backfills.resume("hourly", by="t", background=True)
    assert gone_on.status == "running"
    unfinished = exported.books.backfills.unfinished(exported.books.exports.get("hourly").id)
    assert unfinished is not None
    assert unfinished.parallel == 2, "as many at once as before"
    exported.exports.backfills.stop("hourly", cancel=False)
    exported.exports.backfills.resume("hourly", by="t", parallel=2)
    assert state(exported) == ("completed", DAYS, 0)
    assert work(exported) == 0
    empty(installation, "other")
    begin(exported, "other")
    exported.exports.backfills.stop("other", cancel=True)
    assert work(exported) == 0
    assert state(exported, "other") == ("cancelled", 0, 0)
    assert installation.uuids("other") == []


def test_what_a_dead_worker_had_is_moved_by_another_one(installation: Installation, exported: App) -> None:
    begin(exported)
    assert len(take(exported)) == 2
    assert work(exported) == DAYS
    assert state(exported) == ("completed", DAYS, 0)
    assert len(installation.uuids("hourly")) == DAYS * EACH


def test_an_export_that_is_deleted_leaves_nothing_in_the_queue(exported: App) -> None:
    begin(exported)
    assert exported.any_work()
    with pytest.raises(ConflictError, match="backfill of hourly is running"):
        exported.exports.delete("hourly")
    exported.exports.backfills.stop("hourly", cancel=False)
    exported.exports.delete("hourly")
    assert not exported.any_work()


def test_the_command_puts_it_into_the_queue(installation: Installation, exported: App) -> None:
    words = ("export", "backfill", "hourly", "--from", "2026-01-01", "--to", "2026-01-03", "--parallel", "20")
    refused = installation.run(*words)
    assert refused.returncode == 2
    assert "--background" in refused.stderr
    done = installation.run(*words, "--background")
    assert done.returncode == 0, done.stderr
    assert "is in the queue: 2 intervals, up to 20 at once" in done.stdout + done.stderr
    assert work(exported) == 2
    shown: dict[str, Any] = json.loads(installation.run("export", "backfill", "show", "hourly", "--json").stdout)
    assert (shown["status"], shown["rows_done"]) == ("completed", 2 * EACH)


def test_what_a_daily_verification_misses_workers_bring_in_and_the_next_run_verifies(
    installation: Installation, exported: App, tmp_path: Path
) -> None:
    exported.exports.edit("hourly", {"verify_days": "all"})
    ends = []
    for number in range(3):
        load(exported, tmp_path, 2, first=100 + number * 10)
        ends.append(now())
        queue(exported, ends)
        work(exported)
        assert (
            len(installation.uuids("hourly")) == len(set(installation.uuids("hourly"))) == DAYS * EACH + 2 + 2 * number
        )
    (repaired,) = exported.exports.backfills.find("hourly", limit=9)
    assert (repaired.status, repaired.created_by) == ("completed", "schedule")
    assert (exported.exports.get("hourly").last_verified or "").endswith("none missing")
