"""Exports that run by themselves: each interval once, in order, whatever fails meanwhile."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation
from tests.schedules import (
    LONG_AGO,
    NAME,
    due,
    load,
    make,
    now,
    of_schedule,
    queue,
    queued,
    record,
    standing,
    work,
)

from tidemill.errors import ConfigError, ConflictError
from tidemill.events import ledger
from tidemill.store.runs import Runs
from tidemill.store.schedules import Schedules

HOUR = dt.timedelta(hours=1)
LOADS = "/upload/bigquery/"
SESSION = "019b0000-0000-7000-8000-000000000001"


class UnheardOfError(Exception):
    """None of those that are expected."""


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
        runs = {run.interval_end: run for run in app.exports.runs.find(NAME, limit=10)}
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


def test_what_waits_in_the_queue_is_moved_by_one_run_if_it_is_said_so(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app)
        make(app, missed="join")
        uuids = load(app, tmp_path, 20)
        queue(app, [now() - 2 * HOUR, now() - HOUR, now()])
        assert work(app) == 1
        assert of_schedule(app) == [("completed", 20)]
        assert installation.uuids(NAME) == sorted(uuids)
        assert app.exports.get(NAME).missing_intervals == ()
        assert queued(app) == []


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
        estimate = app.exports.backfills.estimate(NAME, "earliest", None, "day")
        app.exports.backfills.begin(NAME, estimate, by="tester", parallel=2, progress=lambda _: None)
        assert installation.uuids(NAME) == sorted(first + gap + third)


def test_nothing_is_left_out_while_a_run_is_not_finished(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path, deny=["bigquery.tables.updateData"]) as (app, _):
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


@pytest.mark.parametrize("model", ["sessions", "merge_ids"])
def test_after_intervals_without_rows_the_first_rows_make_the_table(
    installation: Installation, tmp_path: Path, model: str
) -> None:
    with due(installation, tmp_path, model=model, team_id=1) as (app, _):
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
