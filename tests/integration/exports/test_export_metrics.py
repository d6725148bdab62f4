"""What `/metrics` tells of exports: the command line's figures, whichever server is asked; and a dashboard of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from tests.capture_server import CaptureServer
from tests.installation import Installation
from tests.schedules import NAME, due, load, make, now, queue, record, work
from tests.streams import make_stream, send_all

from tidemill.app import App
from tidemill.capture.metrics import Metrics
from tidemill.errors import UnavailableError
from tidemill.exports.figures import ExportMetrics
from tidemill.reverse_etl import figures as sync_figures
from tidemill.store.figures import FiguresBook
from tidemill.store.postgres import Postgres
from tidemill.store.schedules import Schedules
from tidemill.store.sync_totals import SyncFigures

ROOT = Path(__file__).parents[3]
PREFIX = "tidemill_export_"
Samples = dict[str, float]


def text_of(app: App) -> str:
    """As Prometheus is told, now."""
    metrics = app.seeing.metrics
    return ExportMetrics(app.settings, metrics._book, metrics._workers).text().decode()


def of(text: str, export: str = NAME) -> Samples:
    """What is told of an export, by the rest of its name, and the state."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("export") == export and sample.name.startswith(PREFIX):
                state = f"_{sample.labels['state']}" if "state" in sample.labels else ""
                found[sample.name.removeprefix(PREFIX) + state] = sample.value
    return found


def one(text: str, name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return float(found)


def test_runs_are_counted_with_rows_bytes_time_and_cost(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path, model="persons") as (app, _):
        installation.local.set_faults([{"path": "/upload/bigquery/", "fault": "job_error", "reason": "invalid"}])
        work(app)
        installation.local.set_faults([])
        failed = of(text_of(app))
        assert (failed["runs_total_failed"], failed["runs_total_completed"], failed["rows_total"]) == (1, 0, 0)
        assert (failed["last_run_failed"], failed["troubled"], failed["queued_intervals"]) == (1, 1, 1)
        assert "covered_timestamp_seconds" not in failed
        app.exports.run(NAME, by="tester")
        (run,) = app.exports.runs.find(NAME, limit=5)
        found = of(text_of(app))
        assert (found["runs_total_failed"], found["runs_total_completed"], found["runs_running"]) == (1, 1, 0)
        assert (found["rows_total"], found["bytes_total"]) == (run.rows_done, run.bytes_done)
        assert found["billed_bytes_total"] == run.bytes_billed
        assert found["run_duration_seconds_count"] == 1
        assert abs(found["run_duration_seconds_sum"] - (run.seconds or 0)) < 0.01
        assert (found["last_run_failed"], found["last_run_rows"]) == (0, run.rows_done)
        assert run.finished_at is not None
        assert abs(found["last_success_timestamp_seconds"] - run.finished_at.timestamp()) < 0.01
        assert found["next_run_timestamp_seconds"] > time.time()
        totals = app.exports.get(NAME).totals
        assert (totals.rows, totals.runs_failed) == (found["rows_total"], 1)
        assert totals.cost_estimate == pytest.approx(found["cost_estimate_dollars_total"], abs=1e-6)
        assert one(text_of(app), "tidemill_workers", state="alive") == 1
        app.exports.schedules.pause(NAME, "tester")
        assert of(text_of(app))["paused"] == 1
        assert "next_run_timestamp_seconds" not in of(text_of(app))


def test_what_is_late_and_what_waits_is_told(installation: Installation, tmp_path: Path) -> None:
    with due(installation, tmp_path) as (app, _):
        assert of(text_of(app))["overdue_seconds"] == 0  # exports are run by hand, where no worker has ever run
        make(app, "third")
        queue(app, [now()], "third")
        Schedules(app.database).change(record(app).id, paused_at=now())
        work(app)
        Schedules(app.database).change(record(app).id, paused_at=None)
        with app.database.begin() as connection:
            connection.execute(sa.text("UPDATE tidemill.tasks SET created_at = due_at"))
        text = text_of(app)
        assert of(text)["overdue_seconds"] > 3600  # it was due long ago, and no worker has taken it
        assert one(text, "tidemill_tasks", state="due") == 1
        assert "lag_rows" not in of(text)  # nobody has measured it yet
        backlogs = app.seeing.backlogs
        assert backlogs.measure()
        behind = of(text_of(app))
        assert behind["lag_rows"] == 20
        assert behind["lag_seconds"] > 0
        make(app, "other")
        work(app)
        load(app, tmp_path, 7, first=100)
        assert not backlogs.measure()  # it was measured a moment ago
        _age(app)
        assert backlogs.measure()
        found = text_of(app)
        assert (of(found)["lag_rows"], of(found)["overdue_seconds"], of(found)["rows_total"]) == (7, 0, 20)
        assert of(found, "other")["lag_rows"] == 27
        assert of(found)["covered_timestamp_seconds"] <= now().timestamp()
        app.exports.run(NAME, by="tester")
        assert (of(text_of(app))["lag_rows"], of(text_of(app))["lag_seconds"]) == (0, 0)
        _age(app, 600)
        assert "lag_rows" not in of(text_of(app))


def _age(app: App, seconds: int = 30) -> None:
    """What was measured, was measured that long ago."""
    with app.database.begin() as connection:
        ago = sa.text("UPDATE tidemill.backlogs SET measured_at = now() - :ago * interval '1 second'")
        connection.execute(ago, {"ago": seconds})


def test_a_stream_counts_what_it_appends(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, 20)
        make_stream(app)
        before = of(text_of(app), "live")
        assert (before["rows_total"], before["troubled"]) == (0, 0)
        send_all(app)
        found = of(text_of(app), "live")
        assert (found["rows_total"], found["runs_running"]) == (20, 0)
        assert found["cost_estimate_dollars_total"] > 0
        assert found["last_success_timestamp_seconds"] <= time.time()


def test_names_are_written_so_that_they_can_be_read() -> None:
    from tidemill.schedules import exposition

    assert exposition.escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_while_the_database_is_away_that_is_told(postgres: Postgres) -> None:
    from tidemill.settings import Settings
    from tidemill.store.database import Database

    def away() -> dict[str, int]:
        raise UnavailableError("database_unavailable", "It is away.")

    database = Database(postgres)
    text = ExportMetrics(Settings(), FiguresBook(database), away).text().decode()
    assert one(text, "tidemill_database_up") == 0
    now_and_then = iter([0.0, 0.0, 0.0, 0.0, 4.0, 5.1, 5.1, 5.1, 5.1])
    metrics = ExportMetrics(Settings(), FiguresBook(database), lambda: {"alive": 1}, lambda: next(now_and_then))
    first = metrics.text()
    assert metrics.text() is first  # who asks again so soon is told the same
    assert metrics.text() is not first
    database.close()


def test_a_server_tells_the_same_and_the_dashboard_asks_for_nothing_else(
    installation: Installation, tmp_path: Path
) -> None:
    """Whichever server is asked: this one moves nothing itself."""
    with due(installation, tmp_path) as (app, _):
        make_stream(app)
        send_all(app)
        work(app)
        assert app.seeing.backlogs.measure()
        server = CaptureServer(app, tmp_path / "serve.log", words=("--role", "capture"))
        server.start()
        try:
            told = _asked(server.url)
            for export in (NAME, "live"):
                assert _lasting(of(told, export)) == _lasting(of(text_of(app), export))
                assert of(told, export)["rows_total"] == 20
            assert server.stop() == 0, server.log.read_text()
        finally:
            server.kill()
        _assert_known(_counted() + _of_a_sync() + told)


def _lasting(samples: Samples) -> Samples:
    """What does not change from second to second."""
    return {name: value for name, value in samples.items() if name not in {"lag_seconds", "overdue_seconds"}}


def _of_a_sync() -> str:
    """What is told of one that has all that can be told."""
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    values: dict[str, Any] = {field.name: 1 for field in dataclasses.fields(SyncFigures)}
    values |= {"name": "crm", "model": "people", "destination": "hook", "paused": False, "last_status": "completed"}
    values |= dict.fromkeys(("next_at", "last_finished_at", "last_success_at"), at)
    return sync_figures.text_of(at, [SyncFigures(**values)])


def _counted() -> str:
    """What a server counts itself, of each at least one."""
    metrics = Metrics()
    metrics.answered("posthog", 200)
    metrics.committed(1, 1, 0.1)
    metrics.failed("disk_full")
    metrics.refused.labels("timestamp_invalid").inc()
    return metrics.text().decode()


def _asked(url: str) -> str:
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept-Encoding": "gzip"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return gzip.decompress(answer.read()).decode()


def _assert_known(text: str) -> None:
    """Each metric and label that the dashboard and the alerts ask for is one that is told; each is documented."""
    known: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    board = json.loads((ROOT / "deploy/grafana/tidemill.json").read_text())
    targets = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    targets += [item["definition"] for item in board["templating"]["list"] if item["type"] == "query"]
    targets += re.findall(r"^ +expr: (.+)$", (ROOT / "deploy/prometheus/alerts.yaml").read_text(), re.MULTILINE)
    assert len(targets) > 20
    for asked in targets:
        names = set(re.findall(r"\btidemill_\w+", asked))
        assert names, asked
        assert names <= set(known), asked
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", asked))
        labels |= {label for by in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", asked) for label in by.split(", ")}
        labels |= set(re.findall(r"label_values\([^,]+,\s*(\w+)\)", asked))
        assert labels <= {"instance", "job"}.union(*(known[name] for name in names)), asked
    page = (ROOT / "docs/reference/metrics.md").read_text()
    missing = {name for name in known if f"`{name}`" not in page and not re.search(r"_(sum|count|bucket)$", name)}
    assert missing == set(), "these are not in docs/reference/metrics.md"
