"""The run log: one row a run, also when there was nothing, whatever goes wrong."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, write_events

from tidemill.app import App
from tidemill.bigquery.tables import Layout
from tidemill.errors import TidemillError
from tidemill.models.model import Column
from tidemill.models.types import Type

JOBS = "/bigquery/v2/projects/[^/]+/jobs"


def create(app: App, name: str = "daily", **fields: Any) -> None:
    app.exports.create(CONNECTION, {"name": name, "table": name, "run_log": True, **fields}, by="t")


def load(app: App, tmp_path: Path, count: int, first: int = 0) -> None:
    write_events(tmp_path / f"{first}.jsonl", count, first=first)
    app.events.load(str(tmp_path / f"{first}.jsonl"))


def log(installation: Installation) -> list[dict[str, Any]]:
    return sorted(installation.rows("tidemill_runs"), key=lambda row: row["logged_at"])


def test_each_run_and_each_look_in_vain_has_its_row(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=100, chunk_bytes=4_000) as app:
        installation.connect(app)
        create(app)
        before = dt.datetime.now(dt.UTC)
        app.exports.run("daily", by="t")
        load(app, tmp_path, 250)
        loaded = dt.datetime.now(dt.UTC)
        (run,) = app.exports.run("daily", by="t")
        app.exports.run("daily", by="t")
        estimate = app.exports.backfills.estimate("daily", "2026-01-01", "2026-01-03", "day")
        app.exports.backfills.begin("daily", estimate, by="t", parallel=2, progress=lambda _: None)
        app.exports.edit("daily", {"run_log": False})
        app.exports.run("daily", by="t")
    empty, full, again, *backfilled = log(installation)
    assert [row["status"] for row in (empty, full, again)] == ["empty", "completed", "empty"]
    assert before < empty["covers_until"] < loaded < full["covers_until"] < again["covers_until"]
    assert (full["run_id"], full["kind"], full["row_count"], full["export"]) == (str(run.id), "new", 250, "daily")
    assert full["job_ids"] == [chunk.job_id for chunk in run.chunks]
    assert full["file_bytes"] == run.bytes_done > 0
    assert full["table_name"].endswith(f".{installation.dataset}.daily")
    assert (empty["run_id"], empty["row_count"], empty["job_ids"]) == (None, 0, [])
    assert sorted((row["kind"], row["interval_start"].day, row["row_count"]) for row in backfilled) == [
        ("backfill", 1, 0),
        ("backfill", 2, 0),
    ]
    assert all(row["covers_until"] is None for row in backfilled)
    client = installation.client()
    table = client.get_table(installation.dataset, "tidemill_runs")
    client.close()
    assert table is not None
    assert (table.partition, table.cluster_by) == (("logged_at", "DAY"), ("export",))


@pytest.mark.parametrize(
    "plan",
    [
        [{"path": JOBS, "method": "POST", "nth": 1, "fault": "cut", "after_commit": True}],
        [{"path": JOBS, "method": "POST", "nth": 1, "fault": "job_error", "reason": "backendError"}],
        [{"path": JOBS, "method": "POST", "nth": 1, "fault": "status", "status": 503}],
    ],
    ids=["cut after it was done", "the job fails", "503"],
)
def test_a_fault_makes_no_second_row(installation: Installation, tmp_path: Path, plan: list[dict[str, Any]]) -> None:
    with installation.app() as app:
        installation.connect(app)
        create(app)
        load(app, tmp_path, 20)
        installation.local.set_faults(plan)
        app.exports.run("daily", by="t")
        assert all(fault["fired"] for fault in installation.local.faults())
        installation.local.set_faults([])
    (row,) = log(installation)
    assert row["row_count"] == 20


@pytest.mark.parametrize(
    "columns",
    [(Column("export", Type.STRING, ""),), (Column("a", Type.STRING, ""),), (Column("export", Type.INT64, ""),)],
    ids=["lacks columns", "has none of them", "has another type"],
)
def test_a_log_that_cannot_be_written_fails_the_run_and_nothing_comes_twice(
    installation: Installation, tmp_path: Path, columns: tuple[Column, ...]
) -> None:
    client = installation.client()
    client.create_table(installation.dataset, "tidemill_runs", Layout(columns))
    with installation.app() as app:
        installation.connect(app)
        create(app)
        load(app, tmp_path, 20)
        with pytest.raises(TidemillError) as caught:
            app.exports.run("daily", by="t")
        assert caught.value.code == "run_log_columns"
        assert caught.value.message.startswith("Only the run log could not be written, all rows are in: the table ")
        assert "rename that table" in caught.value.hint
        assert "tidemill export edit daily --no-run-log" in caught.value.hint
        assert "Nothing was loaded" not in caught.value.hint
        assert len(installation.uuids("daily")) == 20
        client.delete_table(installation.dataset, "tidemill_runs")
        client.close()
        (run,) = app.exports.run("daily", by="t")
        assert (run.status, run.attempt) == ("completed", 2)
    assert len(installation.uuids("daily")) == 20
    found = [(row["status"], row["row_count"]) for row in log(installation)]
    assert found == [("completed", 20), ("empty", 0)]  # after it went on, it looked for more


def test_a_run_whose_log_cannot_be_written_ends_without_it_if_none_is_wanted_any_more(
    installation: Installation, tmp_path: Path
) -> None:
    client = installation.client()
    client.create_table(installation.dataset, "tidemill_runs", Layout((Column("a", Type.STRING, ""),)))
    client.close()
    with installation.app() as app:
        installation.connect(app)
        create(app)
        load(app, tmp_path, 20)
        with pytest.raises(TidemillError, match="run log"):
            app.exports.run("daily", by="t")
        app.exports.edit("daily", {"run_log": False})
        (run,) = app.exports.run("daily", by="t")
        assert (run.status, run.rows_done) == ("completed", 20)
    assert len(installation.uuids("daily")) == 20


def test_exports_share_a_log_and_merges_name_their_job(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        create(app)
        create(app, "people", model="persons")
        load(app, tmp_path, 200)
        for name in ("daily", "people"):
            app.exports.run(name, by="t")
    one, other = log(installation)
    assert [row["export"] for row in (one, other)] == ["daily", "people"]
    assert (other["row_count"], other["job_ids"][-1][-6:]) == (100, "_merge")


def test_the_merge_and_the_kind_of_a_run_are_shown(installation: Installation, tmp_path: Path) -> None:
    """Its job is that of the attempt which merged, also if another one ended the run."""
    client = installation.client()
    client.create_table(installation.dataset, "tidemill_runs", Layout((Column("a", Type.STRING, ""),)))
    with installation.app() as app:
        installation.connect(app)
        create(app, "people", model="persons")
        load(app, tmp_path, 20)
        with pytest.raises(TidemillError):
            app.exports.run("people", by="t")
        client.delete_table(installation.dataset, "tidemill_runs")
        (run,) = app.exports.run("people", by="t")
        assert run.attempt == 2
        assert client.google().get_job(run.merge_job_id, location="EU").statement_type == "MERGE"
        estimate = app.exports.backfills.estimate("people", "earliest", None, None)
        app.exports.backfills.begin("people", estimate, by="t", parallel=1, progress=lambda _: None)
        app.exports.runs.again(run.short_id, by="t")
        create(app)
        (plain,) = app.exports.run("daily", by="t")
        assert plain.merge_job_id is None
    client.close()
    assert next(row for row in log(installation) if row["run_id"] == str(run.id))["job_ids"][-1] == run.merge_job_id
    found = json.loads(installation.run("export", "runs", "people", "--json").stdout)
    assert [each["kind"] for each in found] == ["again", "backfill", "new"]
    assert "backfill" in installation.run("export", "runs").stdout
    shown = installation.run("export", "run", "show", run.short_id).stdout
    assert f" {run.merge_job_id}\n" in shown
    assert shown.split("kind")[1].split()[0] == "new"


def test_it_is_asked_for_on_the_command_line(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, 3)
    words = ("export", "create", "daily", "--connection", CONNECTION, "--run-log", "--json")
    assert json.loads(installation.run(*words).stdout)["run_log"] is True
    assert installation.run("export", "run", "daily").returncode == 0
    assert json.loads(installation.run("export", "edit", "daily", "--no-run-log", "--json").stdout)["run_log"] is False
    assert installation.run("export", "run", "daily").returncode == 0
    assert [row["row_count"] for row in log(installation)] == [3]
