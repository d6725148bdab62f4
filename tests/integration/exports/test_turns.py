"""One MERGE of an export at a time, also of those that a dead process or an attempt that gave up left at work."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import psycopg
import pytest
from tests.installation import CONNECTION, Installation, write_events
from tests.streams import eventually

from tidemill.app import App
from tidemill.errors import ConflictError
from tidemill.exports.plan import Planner
from tidemill.store import locks
from tidemill.store.exports import Exports
from tidemill.store.postgres import open_postgres
from tidemill.store.records import Backfill, Export, Run

#: The next statement is a job that runs until another plan is in force.
SLOW = [{"path": "/jobs$", "method": "POST", "fault": "slow_job", "seconds": 600}]


def emptied(installation: Installation) -> None:
    client = installation.client()
    client.query(f"DELETE FROM `{installation.dataset}.events` WHERE TRUE", job_id=f"test_{os.urandom(6).hex()}")
    client.close()


def prepared(installation: Installation, app: App, folder: Path) -> list[str]:
    """An export with a completed run, whose rows are gone. Gives the uuids."""
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events", "interval": "day"}, by="t")
    uuids = write_events(folder / "events.jsonl", 60)
    app.events.load(str(folder / "events.jsonl"))
    app.exports.run("daily", by="t")
    emptied(installation)
    return uuids


def changed(installation: Installation, statement: str) -> None:
    with psycopg.connect(open_postgres(installation.settings()).dsn, autocommit=True) as session:
        session.execute(statement)


def test_another_attempt_waits_for_the_merge_of_the_one_before_it(installation: Installation, tmp_path: Path) -> None:
    """As when BigQuery could not be asked for long, and the run has failed: its job may be at work all the same."""
    with installation.app() as app:
        uuids = prepared(installation, app, tmp_path)
        (first,) = app.exports.runs.find("daily", limit=1)
        installation.local.set_faults(SLOW)
        process = installation.start("export", "run", "again", first.short_id)
        while (job := installation.merging()) is None:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        changed(installation, "UPDATE tidemill.runs SET status = 'failed' WHERE status = 'running'")
        seen = len(installation.local.requests())
        (again, _) = app.exports.runs.find("daily", limit=2)
        thread = threading.Thread(target=lambda: app.exports.runs.retry(again.short_id))
        thread.start()
        while not any(job in request["path"] for request in installation.local.requests()[seen:]):
            assert thread.is_alive(), "it did not ask for the job"
            time.sleep(0.05)
        assert installation.uuids() == []
        installation.local.set_faults([])
        thread.join()
        view = app.exports.runs.get(again.short_id)
        assert (view.status, view.attempt) == ("completed", 2)
        assert installation.uuids() == uuids


def test_who_waits_for_a_turn_can_be_cancelled(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app, installation.app() as other:
        uuids = prepared(installation, app, tmp_path)
        (first,) = app.exports.runs.find("daily", limit=1)
        export = app.exports.get("daily").id
        with app.exports._made.parts.lock(f"merge:{export}"):
            ended: list[BaseException] = []

            def move() -> None:
                try:
                    app.exports.runs.again(first.short_id, by="t")
                except BaseException as error:  # noqa: BLE001 - looked at below
                    ended.append(error)

            thread = threading.Thread(target=move)
            thread.start()
            while (found := other.exports.runs.find("daily", limit=1)[0]).id == first.id or found.rows_done < len(
                uuids
            ):
                assert thread.is_alive()
                time.sleep(0.05)
            assert other.exports.runs.cancel(found.short_id).status == "cancelled"
            thread.join()
        assert getattr(ended[0], "code", None) == "cancelled"
        assert installation.uuids() == []
        app.exports.runs.retry(found.short_id)
        assert installation.uuids() == uuids


def test_a_run_of_a_cancelled_backfill_is_over(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        uuids = prepared(installation, app, tmp_path)
        estimate = app.exports.backfills.estimate("daily", "earliest", None, "week")
        load_jobs = {"method": "POST", "path": "/upload/bigquery/v2/projects/[^/]+/jobs", "nth": 2}
        installation.local.set_faults([{**load_jobs, "fault": "job_error", "reason": "invalid", "message": "No."}])
        view = app.exports.backfills.begin("daily", estimate, by="t", parallel=2, progress=lambda _: None)
        assert view.status == "failed"
        failed = next(run for _, run, status, _ in view.runs if status == "failed")
        app.exports.backfills.stop("daily", cancel=True)
        before = installation.uuids()
        with pytest.raises(ConflictError, match="backfill that was cancelled"):
            app.exports.runs.retry(failed)
        assert app.exports.runs.get(failed).status == "failed"
        assert installation.uuids() == before != uuids
        assert (
            app.exports.runs.again(app.exports.runs.find("daily", limit=99)[-1].short_id, by="t").status == "completed"
        )
        assert installation.uuids() == uuids


def test_an_interval_that_somebody_cancels_does_not_stop_the_others(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation.app() as app:
        uuids = prepared(installation, app, tmp_path)
        estimate = app.exports.backfills.estimate("daily", "earliest", None, "week")
        plain = Planner.over

        def over(planner: Planner, export: Export, backfill: Backfill, number: int, by: str) -> Run:
            run = plain(planner, export, backfill, number, by)
            if number == 1:
                app.exports._made.books.runs.request_cancel(run.id)
            return run

        monkeypatch.setattr(Planner, "over", over)
        view = app.exports.backfills.begin("daily", estimate, by="t", parallel=1, progress=lambda _: None)
        assert (view.status, view.intervals_done, view.intervals_failed) == ("failed", view.intervals - 1, 1)
        view = app.exports.backfills.resume("daily", by="t", parallel=1, progress=lambda _: None)
        assert view.status == "completed"
        assert installation.uuids() == uuids


def test_an_export_whose_backfill_moves_is_not_deleted(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app, installation.app() as other:
        uuids = prepared(installation, app, tmp_path)
        estimate = app.exports.backfills.estimate("daily", "earliest", None, "week")
        refused = []

        def meanwhile(_: object) -> None:
            with pytest.raises(ConflictError, match="backfill of daily is running"):
                other.exports.delete("daily")
            refused.append(True)

        view = app.exports.backfills.begin("daily", estimate, by="t", parallel=1, progress=meanwhile)
        assert (view.status, all(refused)) == ("completed", True)
        assert installation.uuids() == uuids
        other.exports.delete("daily")


def test_intervals_of_one_backfill_that_only_add_rows_merge_at_the_same_time(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app, installation.app() as other:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="t")
        days = [
            {"uuid": f"{day}-{n}", "event": "e", "distinct_id": "d", "timestamp": f"2026-01-0{day}T10:00:00Z"}
            for day in (1, 2, 3)
            for n in range(4)
        ]
        (tmp_path / "days.jsonl").write_text("\n".join(map(json.dumps, days)))
        app.events.load(str(tmp_path / "days.jsonl"))
        app.exports.run("daily", by="t")
        emptied(installation)
        found = app.exports.backfills.estimate("daily", "earliest", None, "day")
        installation.local.set_faults([{**SLOW[0], "times": 3}])
        backfill = threading.Thread(target=lambda: app.exports.backfills.begin("daily", found, by="t", parallel=3))
        backfill.start()
        eventually(lambda: len(merging(other)) == 3, "all three are at work")
        installation.local.set_faults([])
        backfill.join()
        assert installation.uuids() == sorted(str(row["uuid"]) for row in days)
        assert {run.status for run in app.exports.runs.find("daily", limit=9)} == {"completed"}


def merging(app: App) -> list[Run]:
    return app.exports._made.parts.runs.merging(Exports(app.database).get("daily").id)


def test_a_run_waits_for_intervals_of_a_backfill_and_no_more_of_them_begin(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        uuids = prepared(installation, app, tmp_path)
        (first,) = app.exports.runs.find("daily", limit=1)
        name, waiting = f"merge:{app.exports.get('daily').id}", f"merge-queue:{app.exports.get('daily').id}"
        with app.exports._made.parts.lock(name, shared=True):  # an interval is at work
            process = installation.start("export", "run", "again", first.short_id)
            eventually(
                lambda: app.exports.runs.find("daily", limit=1)[0].rows_done == len(uuids), "its rows are loaded"
            )
            eventually(lambda: not is_free(app, waiting), "it waits for its turn, and is next")
            assert installation.uuids() == []
        assert process.wait(60) == 0
        process.communicate()
        assert is_free(app, waiting)
        assert installation.uuids() == uuids


def is_free(app: App, name: str) -> bool:
    with psycopg.connect(app.postgres.dsn) as session:
        found = session.execute("SELECT pg_try_advisory_xact_lock(%s)", [locks.key(name)]).fetchone()
        return bool(found and found[0])
