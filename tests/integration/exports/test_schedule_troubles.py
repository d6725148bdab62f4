"""Runs that begin by themselves and fail: tried again, paused, taken over, and no row is lost or doubled."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import pytest
from tests.installation import Installation
from tests.schedules import (
    NAME,
    due,
    hasten,
    load,
    make,
    now,
    of_schedule,
    queue,
    queued,
    record,
    work,
)
from tests.stream_kills import end_sessions

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.exports.steps import prepare
from tidemill.schedules.calendar import Schedule, Span
from tidemill.store.runs import Runs
from tidemill.store.schedules import Schedules
from tidemill.store.tasks import Tasks

HOUR = dt.timedelta(hours=1)
LOADS = "/upload/bigquery/"
SESSION = "019b0000-0000-7000-8000-000000000001"


class UnheardOfError(Exception):
    """None of those that are expected."""


def test_what_passes_by_itself_is_tried_again_and_counts_as_no_failure(
    installation: Installation, tmp_path: Path
) -> None:
    plan = [{"path": LOADS, "fault": "status", "status": 503, "times": 1_000}]
    with installation.app(retry_deadline_seconds=0.2) as app:
        installation.connect(app)
        make(app, pause_after="1")
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
        installation.local.set_faults(plan)
        assert work(app) == 1
        (task,) = queued(app)
        assert (task.tries, task.worker) == (1, None)
        assert task.due_at > now()
        assert app.exports.get(NAME).trouble
        installation.local.set_faults([])
        hasten(app)
        assert work(app) == 1
        assert installation.uuids(NAME) == uuids
        assert app.exports.get(NAME).paused is None


def test_what_fails_again_and_again_is_paused_with_its_reason_and_goes_on_when_unpaused(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app, deny=["bigquery.tables.create"])
        make(app, pause_after="2/1d")
        uuids = load(app, tmp_path, 20)
        queue(app, [now(), now() + HOUR])
        for _ in range(2):
            assert work(app) == 1
            hasten(app)
        assert work(app) == 0
        view = app.exports.get(NAME)
        assert view.last_status == "paused"
        assert "failed 2 times" in str(view.trouble)
        assert "bigquery.tables.create" in str(view.trouble)
        assert "tidemill export unpause hourly" in str(view.what_to_do)
        installation.local.key("tidemill")  # all is allowed
        assert app.exports.schedules.unpause(NAME, skip=False) == 0
        assert work(app) == 2
        assert installation.uuids(NAME) == uuids
        view = app.exports.get(NAME)
        assert (view.last_status, view.trouble, view.paused) == ("completed", None, None)


def test_failures_of_long_ago_do_not_count(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path, deny=["bigquery.tables.create"], pause_after="2/1d") as (app, _):
        export = record(app)
        for _ in range(2):
            Schedules(app.database).fail(export.id, now(), "old", now() - HOUR)
        with app.database.begin() as connection:
            connection.exec_driver_sql("UPDATE tidemill.failures SET failed_at = failed_at - interval '2 days'")
        work(app)
        assert app.exports.get(NAME).paused is None


def test_a_pause_cancels_the_backfill_of_an_export_that_fails(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, pause_after="1")
        load(app, tmp_path, 20)
        app.exports.run(NAME, by="tester")
        estimate = app.exports.backfills.estimate(NAME, "earliest", None, "day")
        app.exports._made.backfiller.start(record(app), estimate, "tester")
        load(app, tmp_path, 20, first=20)
        installation.local.key("tidemill", deny=["bigquery.jobs.create"])
        queue(app, [now()])
        work(app)
        assert app.exports.get(NAME).paused
        assert [backfill.status for backfill in app.exports.backfills.find(NAME, limit=5)] == ["cancelled"]


def test_a_run_that_was_cancelled_is_gone_on_with_by_the_next_interval(
    installation: Installation, tmp_path: Path
) -> None:
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 30.0}]
    with due(installation, tmp_path) as (app, uuids):
        installation.local.set_faults(plan)
        assert app.worker.look() == 1
        while not (found := app.exports.runs.find(NAME, limit=1)) or found[0].status != "running":
            assert queued(app)
        app.exports.runs.cancel(str(found[0].id))
        app.worker.drain()
        installation.local.set_faults([])
        assert [status for status, _ in of_schedule(app)] == ["cancelled"]
        assert queued(app) == []
        queue(app, [now() + HOUR])
        work(app)
        assert of_schedule(app) == [("completed", 20), ("completed", 0)]
        assert installation.uuids(NAME) == uuids


def test_a_run_that_takes_too_long_is_stopped_and_tried_again(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 4.0}]
    monkeypatch.setattr(Schedule, "run_limit", dt.timedelta(seconds=1))
    with due(installation, tmp_path, pause_after="2") as (app, uuids):
        installation.local.set_faults(plan)
        work(app)
        (task,) = queued(app)
        assert task.error is not None
        assert task.error["code"] == "run_took_long"
        installation.local.set_faults([])
        monkeypatch.undo()
        hasten(app)
        work(app)
        assert installation.uuids(NAME) == uuids
        assert app.exports.get(NAME).paused is None


def test_what_a_dead_worker_had_is_taken_over(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, uuids):
        with app.database.begin() as connection:
            connection.exec_driver_sql("UPDATE tidemill.tasks SET worker = 'gone', taken_at = now()")
        assert work(app) == 1
        assert installation.uuids(NAME) == uuids


def test_a_table_that_was_modified_too_often_waits_and_goes_on_where_it_was(
    installation: Installation, tmp_path: Path
) -> None:
    uuids, ends = [], []
    with installation.app(table_changes_day=2) as app:
        installation.connect(app)
        make(app, pause_after="1")
        for number in range(3):
            uuids += load(app, tmp_path, 10, first=10 * number)
            ends.append(now())
        queue(app, ends)
        work(app)
        (task,) = queued(app)
        assert task.error is not None
        assert task.error["code"] == "table_quota"
        assert task.due_at > now() + 20 * HOUR
        assert len(installation.uuids(NAME)) == 20
        view = app.exports.get(NAME)
        assert view.paused is None
        assert "modified 2 times in a day" in str(view.trouble)
    with installation.app() as app:
        hasten(app)
        work(app)
        assert installation.uuids(NAME) == sorted(uuids)


def test_a_run_has_no_more_chunks_than_the_quota_has_room_for(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=10, chunk_bytes=1_000, table_changes_day=20) as app:
        installation.connect(app)
        make(app, interval="5m")
        uuids = load(app, tmp_path, 300)
        queue(app, [now()])
        work(app)
        (run,) = app.exports.runs.find(NAME, limit=5)
        assert 5 <= len(run.chunks) <= 10  # half of the day
        assert installation.uuids(NAME) == uuids


def test_a_bug_in_a_step_fails_the_run_and_the_next_try_goes_on(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with due(installation, tmp_path, pause_after="2") as (app, uuids):
        monkeypatch.setattr(prepare, "prepare", broken)
        work(app)
        assert [status for status, _ in of_schedule(app)] == ["failed"]
        assert "No space left" in str(app.exports.get(NAME).trouble)
        monkeypatch.undo()
        hasten(app)
        work(app)
        assert installation.uuids(NAME) == uuids


def test_a_run_that_nobody_moves_any_more_is_taken_up_by_its_own_worker(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise UnheardOfError

    with due(installation, tmp_path) as (app, uuids):
        monkeypatch.setattr(prepare, "prepare", broken)
        work(app)
        assert [status for status, _ in of_schedule(app)] == ["running"]
        monkeypatch.undo()
        hasten(app)
        work(app)
        assert [status for status, _ in of_schedule(app)] == ["completed"]
        assert installation.uuids(NAME) == uuids


def test_what_was_cancelled_because_the_process_stops_is_not_over(installation: Installation, tmp_path: Path) -> None:
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 30.0}]
    with due(installation, tmp_path) as (app, uuids):
        installation.local.set_faults(plan)
        assert app.worker.look() == 1
        while not any(fault["fired"] for fault in installation.local.faults()):
            assert queued(app)
        app.exports.runs.interrupt()
        app.worker.drain()
        assert len(queued(app)) == 1
    with installation.app() as app:
        installation.local.set_faults([])
        work(app)
        assert installation.uuids(NAME) == uuids


def test_a_task_that_its_worker_has_dropped_is_taken_again(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, uuids):
        app.engine.launch()
        (task,) = app.books.tasks.take(app.engine.worker, 1, 1)  # and nothing comes of it
        app.worker._missed_at = 0.0
        assert task.worker == app.engine.worker
        assert work(app) == 1
        assert installation.uuids(NAME) == uuids


def test_a_task_at_which_workers_die_again_and_again_is_put_off_and_then_paused(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, pause_after="1")
        queue(app, [now()])
        for tries in range(1, 4):
            with app.database.begin() as connection:
                connection.exec_driver_sql("UPDATE tidemill.tasks SET worker = 'gone', tries = %s", (tries,))
            app.worker._take_over()
            (task,) = queued(app)
            assert (task.due_at > now()) == (tries > 1)
        view = app.exports.get(NAME)
        assert view.last_status == "paused"
        assert "ended 3 times" in str(view.trouble)


def test_a_worker_that_was_taken_for_dead_can_write_nothing_down(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, uuids):
        app.engine.launch()
        planned = dispatched(app)
        end_sessions(installation, every=True)  # as who takes it for dead does, before it goes on with what it had
        for _ in range(3):
            with pytest.raises(UnavailableError):
                app.exports.runs.find(NAME, limit=1)
        with pytest.raises(UnavailableError, match="another process may take over"):
            Runs(app.database).note(planned, attempt=1, rows_merged=7)
    with installation.app() as app:
        work(app)
        assert of_schedule(app) == [("completed", 20)]
        assert installation.uuids(NAME) == sorted(uuids)


def dispatched(app: App) -> uuid.UUID:
    """A run of the interval that is due, of this process, that nothing moves."""
    (task,) = Tasks(app.database).take(app.engine.worker, 1, 1)
    planner = app.exports._made.dispatch._planner
    return planner.scheduled(record(app), Span(task.interval_start, task.interval_end), "schedule").id
