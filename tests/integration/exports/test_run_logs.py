"""What runs tell while they are at work: kept with few statements, searchable, and never in anybody's way."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.installation import CONNECTION, Installation, kill_when, write_events
from tests.schedules import NAME, due, hasten, load, make, now, queue, work
from tests.streams import eventually

from tidemill.api import upkeep
from tidemill.app import App
from tidemill.errors import AccessError, ConfigError, NotFoundError
from tidemill.schedules.lines import LineView

UPLOAD = "/upload/bigquery/"
UNAVAILABLE: list[dict[str, Any]] = [{"path": UPLOAD, "method": "POST", "fault": "status", "status": 503, "times": 2}]
SLOW: list[dict[str, Any]] = [{"path": UPLOAD, "fault": "delay_response", "seconds": 600.0, "times": 1}]
SECRET = "4711-ana@example.com"


def told(lines: list[LineView], step: str | None = None) -> list[str]:
    return [line.message for line in lines if step in {None, line.step}]


def statements(app: App) -> int:
    """How often lines were put into the database: each statement is a transaction of its own."""
    with app.database.begin() as connection:
        return int(connection.scalar(sa.text("SELECT count(DISTINCT xmin::text) FROM tidemill.run_lines")) or 0)


def make_export(app: App, installation: Installation, folder: Path, **fields: Any) -> None:
    write_events(folder / "events.jsonl", 50)
    app.events.load(str(folder / "events.jsonl"))
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events", **fields}, by="tester")


def test_a_run_tells_its_steps_with_rows_bytes_and_jobs(installation: Installation, tmp_path: Path) -> None:
    with installation.app(logs_level="debug") as app:
        make_export(app, installation, tmp_path)
        installation.local.set_faults(UNAVAILABLE)
        (run,) = app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        assert app.seeing.book.flush()
        logs = app.exports.logs
        lines = logs.of_run(run.short_id)
        assert [line.at for line in lines] == sorted(line.at for line in lines)
        assert {line.run for line in lines} == {run.short_id}
        assert {"plan", "prepare", "move", "complete"} <= {line.step for line in lines}
        (begun,) = [line for line in lines if line.step == "plan"]
        assert begun.fields["rows_planned"] == 50
        (loaded,) = logs.of_run(run.short_id, search=run.chunks[0].job_id, step="move", level="info")
        assert (loaded.fields["chunk"], loaded.fields["rows"], loaded.fields["bytes"]) == (0, 50, run.bytes_done)
        (ended,) = [line for line in lines if line.message == "The run is completed."]
        assert (ended.fields["rows"], ended.fields["bytes"]) == (50, run.bytes_done)
        retried = logs.of_run(run.short_id, level="warning")
        assert [line.fields["tries"] for line in retried] == [1, 2]
        assert {line.fields["code"] for line in retried} == {"bigquery_unavailable"}
        assert logs.of_run(run.short_id, search="BIGQUERY_unavailable") == retried
        assert told(logs.of_export("daily")) == told(lines)
        assert list(logs.follow_run(run.short_id)) == lines
        with pytest.raises(ConfigError):
            logs.of_run(run.short_id, level="loud")
        with pytest.raises(ConfigError):
            logs.of_run(run.short_id, since="yesterday")
        with pytest.raises(NotFoundError):
            logs.of_run("ffffffff")
        assert logs.of_run(run.short_id, since="1h") == lines
        assert logs.of_run(run.short_id, since="2100-01-01") == []


def test_no_line_holds_rows_keys_or_texts_of_statements(installation: Installation, tmp_path: Path) -> None:
    """Also if it fails in a way in which BigQuery quotes them."""
    with installation.app(logs_level="debug") as app:
        event = {"event": SECRET, "distinct_id": SECRET, "timestamp": "2026-01-01T00:00:00Z", "uuid": str(uuid.uuid4())}
        (tmp_path / "events.jsonl").write_text(json.dumps({**event, "properties": {"mail": SECRET}}))
        app.events.load(str(tmp_path / "events.jsonl"))
        installation.connect(app)
        key = installation.local.key("tidemill")["private_key"].split("\n")[1]
        app.exports.create(CONNECTION, {"name": "daily", "table": "events", "include_events": (SECRET,)}, by="tester")
        sql = f"SELECT '{SECRET}' AS name, count(*) AS hits FROM events"
        app.exports.create(CONNECTION, {"name": "mine", "table": "mine", "sql": sql, "key": ("name",)}, by="tester")
        quoting = {"reason": "invalidQuery", "message": f"Bad value: {SECRET} in SELECT '{SECRET}'"}
        installation.local.set_faults([{"path": UPLOAD, "method": "PUT", "fault": "job_error", **quoting}])
        with pytest.raises(ConfigError, match=SECRET):
            app.exports.run("daily", by="tester")
        app.exports.run("daily", by="tester")
        app.exports.run("mine", by="tester")
        app.exports.tables.verify("daily", by="tester")
        app.seeing.book.flush()
        with app.database.begin() as connection:
            rows = [str(row) for (row,) in connection.execute(sa.text("SELECT l::text FROM tidemill.run_lines l"))]
        assert len(rows) > 20
        assert any("query_invalid" in row for row in rows)
        assert [row for row in rows if SECRET in row or key in row or "SELECT" in row] == []


def test_a_small_run_costs_one_statement_and_an_empty_interval_none(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, _):
        app.seeing.book._gathers = 3600.0  # they are kept when the test says so, however slow the machine is
        work(app)
        app.seeing.book.flush()
        assert statements(app) == 1
        lines = app.exports.logs.of_export(NAME)
        assert told(lines, "complete") == ["The run is completed."]
        queue(app, [now(), now()])
        work(app)
        app.seeing.book.flush()
        assert told(app.exports.logs.of_export(NAME)) == told(lines)  # of the last run that had something to do
        assert statements(app) == 1


def test_a_run_whose_lines_cannot_be_kept_is_completed(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        make_export(app, installation, tmp_path)
        with app.database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE tidemill.run_lines ADD CHECK (false)"))
        (run,) = app.exports.run("daily", by="tester")
        assert run.status == "completed"
        app.seeing.book.flush()


def test_a_server_deletes_old_lines_and_measures_what_waits(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_MEASURES_EVERY_SECONDS", 0.01)
    with installation.app(logs_days=2) as app:
        make_export(app, installation, tmp_path)
        app.exports.run("daily", by="tester")
        app.seeing.book.flush()
        with app.database.begin() as connection:
            connection.execute(sa.text("UPDATE tidemill.run_lines SET at = at - interval '3 days' WHERE step = 'plan'"))
        stopping = threading.Event()
        threads = [threading.Thread(target=upkeep.keep_pruning, args=(app, stopping, 0.0))]
        threads += [threading.Thread(target=upkeep.keep_measuring, args=(app, stopping))]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: "The run begins." not in told(app.exports.logs.of_export("daily")), "it is deleted")
            eventually(lambda: app.seeing.metrics._book.measured_lately(60), "it is measured")
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        assert "The run is completed." in told(app.exports.logs.of_export("daily"))


def test_why_a_schedule_does_not_go_on_is_told(installation: Installation, tmp_path: Path) -> None:
    """Also if there is no run yet; and of the one that is paused, that it is."""
    with due(installation, tmp_path, deny=["bigquery.tables.updateData"], pause_after="2") as (app, _):
        work(app)
        hasten(app)
        work(app)
        app.seeing.book.flush()
        lines = app.exports.logs.of_export(NAME, level="warning")
        failed = [line for line in lines if line.level == "error"]
        assert {line.fields["code"] for line in failed} == {"permission_missing"}
        assert all("bigquery.tables.updateData" in line.message for line in failed)
        assert failed[-1].message.startswith("The export is paused, since its runs fail.")
        assert failed[-1].fields["failures"] == 2
        again = [line for line in lines if line.step == "schedule" and line.level == "warning"]
        assert [line.fields["code"] for line in again] == ["permission_missing"] * 2
        (run,) = app.exports.runs.find(NAME, limit=5)
        assert {line.run for line in lines} == {run.short_id}
        assert app.exports.logs.of_run(run.short_id, level="warning") == lines


def test_planning_that_fails_is_told_of_the_export(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app, deny=["bigquery.tables.get"])
        make(app)
        load(app, tmp_path, 5)
        with pytest.raises(AccessError):
            app.exports.run(NAME, by="tester")
        queue(app, [now()])
        work(app)
        app.seeing.book.flush()
        (line,) = app.exports.logs.of_export(NAME)
        assert (line.run, line.step, line.fields["code"]) == (None, "schedule", "permission_missing")


def test_what_a_killed_process_told_is_kept_and_who_goes_on_says_so(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        make_export(app, installation, tmp_path)
        installation.local.set_faults(SLOW)

        def is_told() -> bool:
            fired = any(fault["fired"] for fault in installation.local.faults())
            return fired and "The table is made." in told(app.exports.logs.of_export("daily"))

        assert kill_when(installation.start("export", "run", "daily"), is_told)
        installation.local.set_faults([])
        (run,) = app.exports.runs.find("daily", limit=1)
        assert run.status == "interrupted"
        app.exports.run("daily", by="tester")
        app.seeing.book.flush()
        shown = installation.run("export", "run", "logs", run.short_id)
        assert shown.returncode == 0, shown.stderr
        for text in ("The run begins.", "rows_planned=50", "another one goes on", "The run is completed."):
            assert text in shown.stdout
        assert len({line.process for line in app.exports.logs.of_run(run.short_id)}) == 2
        followed = installation.run("export", "run", "logs", run.short_id, "--follow", "--json", "--level", "warning")
        assert [json.loads(line)["level"] for line in followed.stdout.splitlines()] == ["warning"]
        app.exports.delete("daily")
        with app.database.begin() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM tidemill.run_lines")) == 0
