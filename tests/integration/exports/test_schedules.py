"""Exports that run by themselves: each interval once, in order, whatever fails meanwhile."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, write_events
from tests.schedules import LONG_AGO, NAME, hasten, make, now, queue, queued, record, standing, work

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError
from tidemill.events import ledger
from tidemill.exports.schedules.calendar import Schedule
from tidemill.exports.steps import prepare
from tidemill.store.runs import Runs
from tidemill.store.schedules import Schedules

HOUR = dt.timedelta(hours=1)
LOADS = "/upload/bigquery/"
SESSION = "019b0000-0000-7000-8000-000000000001"


class UnheardOfError(Exception):
    """None of those that are expected."""


def load(app: App, folder: Path, count: int, *, first: int = 0) -> list[str]:
    """Some events."""
    uuids = write_events(folder / f"{first}.jsonl", count, first=first)
    app.events.load(str(folder / f"{first}.jsonl"))
    return uuids


def of_schedule(app: App) -> list[tuple[str, int]]:
    """State and rows of the runs, the oldest first."""
    runs = reversed(app.exports.runs(NAME, limit=100))
    return [(run.status, run.rows_done) for run in runs if run.created_by == "schedule"]


def test_an_interval_holds_what_was_acknowledged_in_it(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        first = load(app, tmp_path, 20)
        early = now()
        second = load(app, tmp_path, 10, first=20)
        queue(app, [early, now(), now() + HOUR])
        assert work(app) == 3
        assert of_schedule(app) == [("completed", 20), ("completed", 10), ("completed", 0)]
        assert installation.uuids(NAME) == sorted(first + second)
        assert queued(app) == []
        view = app.exports.get(NAME)
        assert (view.queued_intervals, view.missing_intervals, view.trouble) == (0, (), None)
        runs = {run.interval_end: run for run in app.exports.runs(NAME, limit=10)}
        assert (runs[early].interval_start, runs[early].kind) == (LONG_AGO, "new")


def test_a_run_by_hand_takes_what_there_is_and_the_interval_is_empty(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = load(app, tmp_path, 20)
        app.exports.run(NAME, by="tester")
        queue(app, [now()])
        work(app)
        assert of_schedule(app) == [("completed", 0)]
        assert installation.uuids(NAME) == uuids


def test_an_empty_interval_asks_bigquery_for_nothing(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        before = len(installation.local.requests())
        queue(app, [now()])
        work(app)
        assert of_schedule(app) == [("completed", 0)]
        assert len(installation.local.requests()) == before


@pytest.mark.parametrize("model", ["persons", "sessions", "amplitude_events", "merge_ids"])
def test_other_models_are_run_too(installation: Installation, tmp_path: Path, model: str) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, model=model, team_id=1 if model in {"amplitude_events", "merge_ids"} else None)
        load(app, tmp_path, 20)
        queue(app, [now(), now() + HOUR])
        work(app)
        assert [status for status, _ in of_schedule(app)] == ["completed"] * 2
        before = app.exports.get(NAME)
        assert before.waiting_rows == 0
        app.exports.run(NAME, by="tester")
        assert app.exports.get(NAME).position == before.position


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
    with installation.app() as app:
        installation.connect(app, deny=["bigquery.tables.create"])
        make(app, pause_after="2/1d")
        load(app, tmp_path, 20)
        queue(app, [now()])
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
        estimate = app.exports.estimate(NAME, "earliest", None, "day")
        app.exports._backfiller.start(record(app), estimate, "tester")
        load(app, tmp_path, 20, first=20)
        installation.local.key("tidemill", deny=["bigquery.jobs.create"])
        queue(app, [now()])
        work(app)
        assert app.exports.get(NAME).paused
        assert [backfill.status for backfill in app.exports.backfills(NAME, limit=5)] == ["cancelled"]


def test_a_run_that_was_cancelled_is_gone_on_with_by_the_next_interval(
    installation: Installation, tmp_path: Path
) -> None:
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 30.0}]
    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
        installation.local.set_faults(plan)
        assert app.exports.worker.look() == 1
        while not (found := app.exports.runs(NAME, limit=1)) or found[0].status != "running":
            assert queued(app)
        app.exports.cancel(str(found[0].id))
        app.exports.worker.drain()
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
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 30.0}]
    monkeypatch.setattr(Schedule, "run_limit", dt.timedelta(seconds=1))
    with installation.app() as app:
        installation.connect(app)
        make(app, pause_after="2")
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
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
    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
        with app.database.begin() as connection:
            connection.exec_driver_sql("UPDATE tidemill.tasks SET worker = 'gone', taken_at = now()")
        assert work(app) == 1
        assert installation.uuids(NAME) == uuids


def test_an_export_that_is_deleted_leaves_nothing_in_the_queue(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        queue(app, [now()])
        app.exports.delete(NAME)
        assert work(app) == 0


def test_what_is_due_is_put_into_the_queue_once(installation: Installation) -> None:
    with installation.app() as app, installation.app() as other:
        installation.connect(app)
        make(app, jitter="10m")
        begin = standing(app).next_start
        later = begin + 5 * HOUR + dt.timedelta(minutes=1)
        assert app.exports.scheduler.look(later) == 5
        assert other.exports.scheduler.look(later) == 0
        tasks = queued(app)
        assert [task.interval_end for task in tasks] == [begin + n * HOUR for n in range(1, 6)]
        assert all(dt.timedelta(0) <= task.due_at - task.interval_end < dt.timedelta(minutes=10) for task in tasks)
        assert standing(app).next_end == begin + 6 * HOUR
        assert app.exports.get(NAME).missing_intervals == ()


def test_of_a_long_time_as_much_is_in_the_queue_as_is_soon_done(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, interval="5m")
        later = standing(app).next_start + 100 * HOUR
        assert app.exports.scheduler.look(later) == 100
        assert app.exports.scheduler.look(later) == 0
        assert app.exports.get(NAME).missing_intervals == ()


def test_missed_intervals_are_joined_if_it_is_said_so(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, interval="5m", missed="join")
        begin = standing(app).next_start
        assert app.exports.scheduler.look(begin + 100 * HOUR) == 1
        (task,) = queued(app)
        assert (task.interval_start, task.interval_end) == (begin, begin + 100 * HOUR)


def test_while_it_is_paused_nothing_is_due_and_then_the_gap_is(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        begin = standing(app).next_start
        app.exports.schedules.pause(NAME, "tester")
        with pytest.raises(ConfigError, match="paused already"):
            app.exports.schedules.pause(NAME, "tester")
        assert app.exports.scheduler.look(begin + 10 * HOUR) == 0
        assert app.exports.get(NAME).last_status == "paused"
        app.exports.schedules.unpause(NAME, skip=False)
        assert app.exports.scheduler.look(begin + 10 * HOUR) == 10
        with pytest.raises(ConfigError, match="not paused"):
            app.exports.schedules.unpause(NAME, skip=False)


def test_the_gap_is_left_out_if_it_is_said_so_and_a_backfill_brings_it_in(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "now", lambda: now() - 5 * HOUR)
            first = load(app, tmp_path, 20)
            queue(app, [now() - 4 * HOUR])
            work(app)
            app.exports.schedules.pause(NAME, "tester")
            patched.setattr(ledger, "now", lambda: now() - 3 * HOUR)
            gap = load(app, tmp_path, 10, first=20)
        assert app.exports.schedules.unpause(NAME, skip=True) == 10
        third = load(app, tmp_path, 5, first=30)
        app.exports.run(NAME, by="tester")
        assert installation.uuids(NAME) == sorted(first + third)
        assert app.exports.get(NAME).missing_intervals == ()
        estimate = app.exports.estimate(NAME, "earliest", None, "day")
        app.exports.backfill(NAME, estimate, by="tester", parallel=2, progress=lambda _: None)
        assert installation.uuids(NAME) == sorted(first + gap + third)


def test_nothing_is_left_out_while_a_run_is_not_finished(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app, deny=["bigquery.tables.updateData"])
        make(app)
        load(app, tmp_path, 20)
        queue(app, [now()])
        work(app)
        app.exports.schedules.pause(NAME, "tester")
        with pytest.raises(ConflictError, match="not finished"):
            app.exports.schedules.unpause(NAME, skip=True)
        assert app.exports.get(NAME).last_status == "paused"


def test_an_interval_that_has_no_run_is_found(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        ends = [now() + n * HOUR for n in range(4)]
        queue(app, ends)
        work(app)
        run = Runs(app.database).of_interval(record(app).id, ends[2])
        assert run is not None
        with app.database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM tidemill.runs WHERE id = %s", (run.id,))
        assert app.exports.get(NAME).missing_intervals == ((ends[1], ends[2]),)


@pytest.mark.parametrize(
    ("before", "after", "hours"),
    [
        ({"interval": "hour"}, {"interval": "5m"}, 1 / 12),
        ({"interval": "5m"}, {"interval": "hour"}, None),
        ({"interval": "hour"}, {"interval": "none"}, 0),
        ({"interval": "none"}, {"interval": "hour"}, 1),
    ],
)
def test_another_interval_goes_on_where_the_last_one_ended(
    installation: Installation, before: dict[str, Any], after: dict[str, Any], hours: float | None
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, **before)
        first = standing(app)
        app.exports.edit(NAME, after)
        found = standing(app)
        if hours == 0:
            assert found.next_end is None
            assert app.exports.scheduler.look(now() + 10 * HOUR) == 0
        elif hours is None:
            assert found.next_start == first.next_start
        else:
            assert found.next_end is not None
            assert found.next_end - found.next_start == dt.timedelta(hours=hours)
        assert app.exports.get(NAME).missing_intervals == ()


def test_a_stream_has_no_schedule(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, mode="stream")
        assert app.exports.scheduler.look(now() + 10 * HOUR) == 0
        assert app.exports.get(NAME).next_run_at is None
        with pytest.raises(ConfigError, match="stream"):
            app.exports.schedules.pause(NAME, "tester")
        with pytest.raises(ConfigError, match="jitter"):
            make(app, "other", mode="stream", jitter="5m")


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
        (run,) = app.exports.runs(NAME, limit=5)
        assert 5 <= len(run.chunks) <= 10  # half of the day
        assert installation.uuids(NAME) == uuids


def test_a_bug_in_a_step_fails_the_run_and_the_next_try_goes_on(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with installation.app() as app:
        installation.connect(app)
        make(app, pause_after="2")
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
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

    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
        monkeypatch.setattr(prepare, "prepare", broken)
        work(app)
        assert [status for status, _ in of_schedule(app)] == ["running"]
        monkeypatch.undo()
        hasten(app)
        work(app)
        assert [status for status, _ in of_schedule(app)] == ["completed"]
        assert installation.uuids(NAME) == uuids


@pytest.mark.parametrize("model", ["sessions", "merge_ids"])
def test_after_intervals_without_rows_the_first_rows_make_the_table(
    installation: Installation, tmp_path: Path, model: str
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, model=model, team_id=1)
        load(app, tmp_path, 20)
        queue(app, [now()])
        work(app)
        assert of_schedule(app) == [("completed", 0)]
        lines: list[dict[str, Any]] = [
            {"event": "$pageview", "distinct_id": "anon", "properties": {"$session_id": SESSION}},
            {"event": "seen", "distinct_id": "ana"},
            {"event": "$identify", "distinct_id": "ana", "properties": {"$anon_distinct_id": "anon"}},
        ]
        file = tmp_path / "more.jsonl"
        file.write_text("".join(json.dumps({**line, "timestamp": "2026-01-05T00:00:00Z"}) + "\n" for line in lines))
        app.events.load(str(file))
        queue(app, [now()])
        work(app)
        assert of_schedule(app)[-1] == ("completed", 1)
        assert len(installation.rows(NAME)) == 1


def test_history_that_is_left_out_before_the_first_run_doubles_nothing_in_a_table_that_is_there(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        first = load(app, tmp_path, 20)
        app.exports.run(NAME, by="tester")
        app.exports.delete(NAME)
        make(app)
        app.exports.schedules.pause(NAME, "tester")
        app.exports.schedules.unpause(NAME, skip=True)
        second = load(app, tmp_path, 10, first=20)
        app.exports.run(NAME, by="tester")
        assert installation.uuids(NAME) == sorted(first + second)


def test_history_that_is_left_out_before_the_first_run_is_left_out(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "now", lambda: now() - 3 * HOUR)
            load(app, tmp_path, 20)
        app.exports.schedules.pause(NAME, "tester")
        assert app.exports.schedules.unpause(NAME, skip=True) == 20
        second = load(app, tmp_path, 10, first=20)
        queue(app, [now()])
        work(app)
        assert installation.uuids(NAME) == second


def test_what_was_cancelled_because_the_process_stops_is_not_over(installation: Installation, tmp_path: Path) -> None:
    plan = [{"path": LOADS, "fault": "delay_response", "seconds": 30.0}]
    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
        installation.local.set_faults(plan)
        assert app.exports.worker.look() == 1
        while not any(fault["fired"] for fault in installation.local.faults()):
            assert queued(app)
        app.exports.interrupt()
        app.exports.worker.drain()
        assert len(queued(app)) == 1
    with installation.app() as app:
        installation.local.set_faults([])
        work(app)
        assert installation.uuids(NAME) == uuids


def test_a_task_that_its_worker_has_dropped_is_taken_again(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = load(app, tmp_path, 20)
        queue(app, [now()])
        app.engine.launch()
        (task,) = app.tasks.take(app.engine.worker, 1, 1)  # and nothing comes of it
        app.exports.worker._missed_at = 0.0
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
            app.exports.worker._take_over()
            (task,) = queued(app)
            assert (task.due_at > now()) == (tries > 1)
        view = app.exports.get(NAME)
        assert view.last_status == "paused"
        assert "ended 3 times" in str(view.trouble)


def test_a_start_that_is_taken_back_holds_no_more(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, start_at="2090-01-01")
        assert standing(app).next_start.year == 2090
        app.exports.edit(NAME, {"start_at": "none"})
        assert standing(app).next_start <= now()
        assert app.exports.scheduler.look(now() + 2 * HOUR) == 2


def test_what_should_have_run_and_did_not_is_told(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        made = make(app)
        assert app.exports.get(NAME).overdue_since is None
        long_ago = now() - 3 * HOUR
        Schedules(app.database).change(made.id, next_start=long_ago, next_end=long_ago + HOUR)
        assert app.exports.get(NAME).overdue_since is None  # no server has ever run here
        make(app, "other")
        queue(app, [now()], "other")
        work(app)
        assert app.exports.get(NAME).overdue_since == long_ago + HOUR
        (check,) = [check for check in app.doctor() if check.name == f"export {NAME}"]
        assert check.status == "warning"
        assert "tidemill serve" in check.hint
