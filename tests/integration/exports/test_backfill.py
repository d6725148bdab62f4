"""Backfills: over whatever the table holds, each row is there once in the end."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation
from tests.session_reference import sessions

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.exports import estimate
from tidemill.exports.backfill import BackfillProgress, BackfillView
from tidemill.exports.plan import Planner

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAYS = 6


def events(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Events of some days, in any order."""
    return [
        {
            "uuid": f"{chance.getrandbits(64):016x}",
            "event": "$pageview",
            "distinct_id": chance.choice("abc"),
            "timestamp": (START + dt.timedelta(seconds=chance.randrange(DAYS * 86400))).isoformat(),
            "team_id": 1,
            "properties": {"$session_id": f"0190a000-0000-7000-8000-{chance.randrange(20):012x}"},
        }
        for _ in range(count)
    ]


def load(app: App, folder: Path, rows: list[dict[str, Any]]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert app.events.load(str(file), "posthog").rows == len(rows)


def remove(installation: Installation, where: str) -> None:
    client = installation.client()
    client.query(f"DELETE FROM `{installation.dataset}.events` WHERE {where}", job_id=f"test_{os.urandom(6).hex()}")
    client.close()


def backfill(app: App, name: str, time_from: str, time_to: str | None = None, every: str = "day") -> BackfillView:
    told: list[BackfillProgress] = []
    estimate = app.exports.backfills.estimate(name, time_from, time_to, every)
    view = app.exports.backfills.begin(name, estimate, by="t", parallel=2, progress=told.append)
    if view.status == "completed":
        assert told[-1] == BackfillProgress(view.intervals, view.intervals, view.rows, view.rows)
        assert view.rows == estimate.rows
    return view


@pytest.fixture
def prepared(installation: Installation, tmp_path: Path) -> tuple[Installation, list[dict[str, Any]]]:
    """An export that has exported some days of events."""
    rows = events(random.Random(5), 120)
    with installation.app(commit_rows=25) as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="t")
        load(app, tmp_path, rows)
        app.exports.run("daily", by="t")
    return installation, rows


def test_what_the_table_lacks_comes_back_and_nothing_twice(
    prepared: tuple[Installation, list[dict[str, Any]]], tmp_path: Path
) -> None:
    installation, rows = prepared
    chance = random.Random(6)
    with installation.app(commit_rows=25, chunk_bytes=1000) as app:
        for turn in range(2):
            remove(installation, f"MOD(ASCII(SUBSTR(uuid, 16)), 4) = {turn % 4}")
            more = events(chance, 10)  # after the last run: they are not the backfill's, and come with the next run
            load(app, tmp_path, more)
            view = backfill(app, "daily", "earliest", every=["day", "week", "hour", "day"][turn])
            assert (view.status, view.percent, view.intervals_failed) == ("completed", 100.0, 0)
            assert installation.uuids() == sorted(row["uuid"] for row in rows)
            again = backfill(app, "daily", "2026-01-02", "2026-01-05")
            assert again.rows == sum("2026-01-02" <= row["timestamp"] < "2026-01-05" for row in rows)
            rows += more
            app.exports.run("daily", by="t")
            assert installation.uuids() == sorted(row["uuid"] for row in rows)
        checked = app.exports.tables.check("daily")
        assert (checked.missing, checked.duplicated, checked.foreign) == (0, 0, 0)


def test_a_failed_interval_does_not_stop_the_others_and_is_tried_again(
    prepared: tuple[Installation, list[dict[str, Any]]],
) -> None:
    installation, rows = prepared
    remove(installation, "TRUE")
    with installation.app() as app:
        load_jobs = {"method": "POST", "path": "/upload/bigquery/v2/projects/[^/]+/jobs", "nth": 2}
        installation.local.set_faults([{**load_jobs, "fault": "job_error", "reason": "invalid", "message": "No."}])
        view = backfill(app, "daily", "earliest")
        assert (view.status, view.intervals_failed, view.intervals_done) == ("failed", 1, DAYS - 1)
        assert any("No." in error for *_, error in view.runs)
        assert len(installation.uuids()) == view.rows_done
        with pytest.raises(ConflictError, match="not finished"):
            backfill(app, "daily", "earliest")
        app.exports.run("daily", by="t")  # what is new is not held up
        installation.local.set_faults([])
        done = app.exports.backfills.resume("daily", by="t", parallel=2, progress=lambda _: None)
        assert (done.status, done.percent) == ("completed", 100.0)
        assert installation.uuids() == sorted(row["uuid"] for row in rows)
        with pytest.raises(NotFoundError):
            app.exports.backfills.resume("daily", by="t", parallel=2, progress=lambda _: None)


def test_it_is_paused_resumed_and_cancelled(prepared: tuple[Installation, list[dict[str, Any]]]) -> None:
    installation, rows = prepared
    remove(installation, "TRUE")
    with installation.app() as app, installation.app() as other:
        estimate = app.exports.backfills.estimate("daily", "earliest", None, "day")

        def pause(state: BackfillProgress) -> None:
            if state.intervals_done == 2:
                other.exports.backfills.stop("daily", cancel=False)

        view = app.exports.backfills.begin("daily", estimate, by="t", parallel=1, progress=pause)
        assert (view.status, view.intervals_done) == ("paused", 2)
        view = app.exports.backfills.resume(
            "daily",
            by="t",
            parallel=1,
            progress=lambda s: app.exports.runs.interrupt() if s.intervals_done == 4 else None,
        )
        assert view.status == "paused"
        assert view.intervals_done < DAYS
        assert len(installation.uuids()) == view.rows_done
        assert app.exports.backfills.resume("daily", by="t", parallel=2, progress=lambda _: None).status == "completed"
        assert installation.uuids() == sorted(row["uuid"] for row in rows)
        view = app.exports.backfills.begin("daily", estimate, by="t", parallel=1, progress=pause)
        assert other.exports.backfills.stop("daily", cancel=True).status == "cancelled"
        assert backfill(app, "daily", "2026-01-01", "2026-01-02").status == "completed"
        assert [b.status for b in app.exports.backfills.find("daily", limit=9)] == [
            "completed",
            "cancelled",
            "completed",
        ]


def test_only_one_process_moves_it_and_a_run_beside_it_is_no_harm(
    prepared: tuple[Installation, list[dict[str, Any]]], tmp_path: Path
) -> None:
    installation, rows = prepared
    more = events(random.Random(9), 30)
    with installation.app() as app, installation.app() as other:
        load(app, tmp_path, more)
        estimate = app.exports.backfills.estimate("daily", "earliest", None, "day")
        beside = threading.Event()

        def meanwhile(_: BackfillProgress) -> None:
            if not beside.is_set():
                beside.set()
                with pytest.raises(ConflictError, match="is running"):
                    other.exports.backfills.resume("daily", by="t", parallel=1, progress=lambda _: None)
                other.exports.run("daily", by="t")

        assert (
            app.exports.backfills.begin("daily", estimate, by="t", parallel=2, progress=meanwhile).status == "completed"
        )
        assert beside.is_set()
        assert installation.uuids() == sorted(row["uuid"] for row in rows + more)


def test_sessions_and_persons(prepared: tuple[Installation, list[dict[str, Any]]]) -> None:
    installation, rows = prepared
    with installation.app() as app:
        for model in ("sessions", "persons"):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
            app.exports.run(model, by="t")
        client = installation.client()
        for model in ("sessions", "persons"):
            name = f"{installation.dataset}.{model}"
            before = {str(row): row for row in map(dict, client.google().list_rows(client.google().get_table(name)))}
            client.query(f"DELETE FROM `{name}` WHERE TRUE", job_id=f"test_{os.urandom(6).hex()}")
            assert backfill(app, model, "earliest").status == "completed"
            after = [dict(row) for row in client.google().list_rows(client.google().get_table(name))]
            for row in [*after, *before.values()]:
                row.pop("bq_updated_timestamp")
            assert sorted(map(str, after)) == sorted(map(str, before.values()))
        assert len(sessions(rows)) == app.exports.tables.check("sessions").rows
        with pytest.raises(ConfigError, match="Rows of persons have no time"):
            app.exports.backfills.estimate("persons", "2026-01-01", None, None)
        client.close()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("2026-01-01T00:00:00", None, "day"), "backfill_times"),
        (("yesterday", None, "hour"), "backfill_times"),
        (("2026-01-05", "2026-01-01", "day"), "backfill_times"),
        (("9999-12-31T23:00:00-05:00", None, "hour"), "backfill_times"),
        (("0001-01-01T00:00:00+05:00", None, "hour"), "backfill_times"),
        (("2026-01-01", None, "fortnight"), "backfill_every"),
        (("2019-01-01", "2019-02-01", "day"), "backfill_empty"),
    ],
)
def test_what_cannot_be_is_said(
    prepared: tuple[Installation, list[dict[str, Any]]], given: tuple[str, str | None, str], code: str
) -> None:
    with prepared[0].app() as app:
        with pytest.raises(ConfigError) as caught:
            backfill(app, "daily", *given)
        assert caught.value.code == code
        app.exports.create(CONNECTION, {"name": "new", "table": "new"}, by="t")
        with pytest.raises(ConfigError, match="nothing yet"):
            backfill(app, "new", "earliest")


def test_more_intervals_than_a_backfill_may_have(
    prepared: tuple[Installation, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "MAX_INTERVALS", DAYS)
    with prepared[0].app() as app:
        assert len(app.exports.backfills.estimate("daily", "earliest", None, "day").intervals) == DAYS
        with pytest.raises(ConfigError, match=r"rows in .* intervals of hour") as caught:
            app.exports.backfills.estimate("daily", "earliest", None, "hour")
        assert caught.value.code == "backfill_intervals"


@pytest.mark.parametrize("every", ["hour", "day", "week"])
def test_events_of_any_time_come_back(installation: Installation, tmp_path: Path, every: str) -> None:
    """One of long ago does not make it too long, and those of the future are not left out."""
    times = ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T12:00:00Z", "2999-01-01T00:00:00Z")
    rows = [
        {**events(random.Random(7), 1)[0], "timestamp": time, "uuid": time}
        for time in (*times, "9999-12-31T23:59:59.999999Z")
    ]
    with installation.app() as app:
        installation.connect(app)
        for model in ("events", "sessions"):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
        load(app, tmp_path, rows)
        for model in ("events", "sessions"):
            app.exports.run(model, by="t")
            client = installation.client()
            client.query(f"DELETE FROM `{installation.dataset}.{model}` WHERE TRUE", job_id=f"test_{every}_{model}")
            client.close()
            found = app.exports.backfills.estimate(model, "earliest", None, every)
            assert (len(found.intervals), found.rows) == (len(rows), len(rows))
            if every == "hour":
                backfill(app, model, "earliest", every=every)
            else:  # by the days that differ
                estimated = app.exports.tables.repair(model, app.exports.tables.verify(model, by="t"))
                assert estimated
                app.exports.backfills.begin(model, estimated, by="t", parallel=2, progress=lambda _: None)
            assert app.exports.tables.verify(model, by="t").different == ()


def test_a_backfill_that_meets_a_bug_is_not_completed(
    prepared: tuple[Installation, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Planner.over

    def over(self: Planner, export: Any, of: Any, number: int, by: str) -> Any:
        if number == 1:
            raise ZeroDivisionError
        return inner(self, export, of, number, by)

    with prepared[0].app() as app:
        monkeypatch.setattr(Planner, "over", over)
        with pytest.raises(ZeroDivisionError):
            backfill(app, "daily", "earliest")
        monkeypatch.setattr(Planner, "over", inner)
        (left,) = app.exports.backfills.find("daily", limit=1)
        assert (left.status, left.intervals_done) == ("failed", DAYS - 1)
        done = app.exports.backfills.resume("daily", by="t", parallel=1, progress=lambda _: None)
        assert (done.status, done.percent) == ("completed", 100.0)
