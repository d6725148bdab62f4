"""Whatever Google's side does wrong, each event arrives once, or the run fails clearly and the next one goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, unknown, write_events

from tidemill.bigquery.local import faults
from tidemill.errors import Cancelled, TidemillError

UPLOAD = "/upload/bigquery/"
JOBS = "/bigquery/v2/projects/[^/]+/jobs/"
SMALL = {"commit_rows": 100, "chunk_bytes": 4_000, "parallel_loads": 2}

PLANS: dict[str, list[dict[str, Any]]] = {
    "503 after the load was done": [
        {"path": UPLOAD, "method": "PUT", "nth": 3, "fault": "status", "status": 503, "after_commit": True}
    ],
    "503 before it": [{"path": UPLOAD, "method": "PUT", "nth": 2, "fault": "status", "status": 503, "times": 2}],
    "connection cut after the load was done": [
        {"path": UPLOAD, "method": "PUT", "nth": 1, "fault": "cut", "after_commit": True}
    ],
    "connection cut in the upload": [{"path": UPLOAD, "method": "PUT", "nth": 2, "fault": "cut"}],
    "429 with Retry-After": [
        {"path": UPLOAD, "method": "POST", "fault": "status", "status": 429, "reason": "rateLimitExceeded"}
        | {"retry_after": 1}
    ],
    "403 quotaExceeded for a while": [
        {"path": UPLOAD, "method": "POST", "fault": "status", "status": 403, "reason": "quotaExceeded"}
        | {"message": "Exceeded rate limits: too many table update operations for this table"}
    ],
    "a job that ends with backendError": [
        {"path": UPLOAD, "method": "PUT", "nth": 2, "times": 2, "fault": "job_error", "reason": "backendError"}
    ],
    "a job that ends with jobRateLimitExceeded": [
        {"path": UPLOAD, "method": "PUT", "fault": "job_error", "reason": "jobRateLimitExceeded"}
    ],
    "tokens that expire": [{"path": UPLOAD, "method": "PUT", "nth": 2, "fault": "expire_tokens"}],
    "errors while jobs are asked for": [
        {"path": JOBS, "method": "GET", "nth": 2, "times": 2, "fault": "status", "status": 500},
        {"path": JOBS, "method": "GET", "nth": 5, "fault": "cut"},
    ],
    "errors while the table is made": [
        {"path": "/tables", "fault": "status", "status": 502, "reason": "badGateway", "after_commit": True}
    ],
}


def prepare(installation: Installation, app: Any, tmp_path: Path) -> list[str]:
    uuids = write_events(tmp_path / "events.jsonl", 300)
    app.events.load(str(tmp_path / "events.jsonl"))
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
    return uuids


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_a_fault_changes_nothing(installation: Installation, tmp_path: Path, plan: list[dict[str, Any]]) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepare(installation, app, tmp_path)
        installation.local.set_faults(plan)
        (run,) = app.exports.run("daily", by="tester")
        fired = [fault["fired"] for fault in installation.local.faults()]
        installation.local.set_faults([])
        assert all(fired), fired
        assert run.rows_done == len(uuids)
        assert installation.uuids() == uuids


@pytest.mark.parametrize("seed", range(4))
def test_seeded_faults_change_nothing(installation: Installation, tmp_path: Path, seed: int) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepare(installation, app, tmp_path)
        installation.local.set_faults(faults.seeded(seed))
        app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        assert installation.uuids() == uuids


def test_a_job_that_fails_for_good_fails_the_run_and_the_next_run_goes_on(
    installation: Installation, tmp_path: Path
) -> None:
    plan = [{"path": UPLOAD, "method": "PUT", "nth": 2, "fault": "job_error", "reason": "invalid"}]
    with installation.app(**SMALL) as app:
        uuids = prepare(installation, app, tmp_path)
        installation.local.set_faults(plan)
        with pytest.raises(TidemillError, match="A fault that was asked for"):
            app.exports.run("daily", by="tester")
        assert app.exports.runs.find("daily", limit=1)[0].status == "failed"
        assert 0 < len(installation.uuids()) < len(uuids)
        uuids += write_events(tmp_path / "more.jsonl", 100, first=5_000)
        app.events.load(str(tmp_path / "more.jsonl"))
        went_on, fresh = app.exports.run("daily", by="tester")
        assert (went_on.attempt, went_on.status, fresh.attempt) == (2, "completed", 1)
        assert installation.uuids() == sorted(uuids)


def test_a_daily_quota_fails_the_run_at_once_and_says_that_it_refills(
    installation: Installation, tmp_path: Path
) -> None:
    message = "Quota exceeded: Your table exceeded quota for imports or query appends per table"
    plan = [
        {"path": UPLOAD, "method": "POST", "fault": "status", "status": 403, "reason": "quotaExceeded", "times": 99}
        | {"message": message}
    ]
    with installation.app(**SMALL) as app:
        uuids = prepare(installation, app, tmp_path)
        installation.local.set_faults(plan)
        with pytest.raises(TidemillError) as caught:
            app.exports.run("daily", by="tester")
        assert caught.value.code == "quota_exceeded"
        assert "refills" in caught.value.hint
        installation.local.set_faults([])
        app.exports.run("daily", by="tester")
        assert installation.uuids() == uuids


def test_a_cancelled_run_stops_and_the_next_one_goes_on(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=50, chunk_bytes=1_500, parallel_loads=1) as app:
        uuids = prepare(installation, app, tmp_path)

        def stop_after_the_first(state: Any) -> None:
            if state.chunks_done == 1:
                app.exports.runs.interrupt()

        with pytest.raises(TidemillError) as caught:
            app.exports.run("daily", by="tester", progress=stop_after_the_first)
        assert caught.value.code == "cancelled"
        assert app.exports.runs.find("daily", limit=1)[0].status == "cancelled"
        assert 0 < len(installation.uuids()) < len(uuids)
        app.exports.run("daily", by="tester")
        assert installation.uuids() == uuids


@pytest.mark.parametrize("where", ["/datasets/[^/]+/tables/", "/datasets/[^/?]+$", JOBS])
def test_an_interrupt_is_seen_while_bigquery_is_down(installation: Installation, tmp_path: Path, where: str) -> None:
    """Before there is a run, while its table is prepared, and while its jobs are asked for."""
    with installation.app(**SMALL, retry_deadline_seconds=100_000) as app:
        uuids = prepare(installation, app, tmp_path)
        installation.local.set_faults([{"path": where, "fault": "status", "status": 503, "times": 100_000}])

        def interrupt_once_it_fails() -> None:
            while not any(fault["fired"] for fault in installation.local.faults()):
                over.wait(0.05)
            app.exports.runs.interrupt()

        over = threading.Event()
        watcher = threading.Thread(target=interrupt_once_it_fails, daemon=True)
        watcher.start()
        with pytest.raises(Cancelled):
            app.exports.run("daily", by="tester")
        watcher.join()
        installation.local.set_faults([])
        assert all(run.status == "cancelled" for run in app.exports.runs.find("daily", limit=1))
        app.exports.run("daily", by="tester")
        assert installation.uuids() == uuids


def test_every_request_is_one_that_bigquery_documents(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        prepare(installation, app, tmp_path)
        list(app.connections.test(CONNECTION))
        app.connections.datasets(CONNECTION)
        app.exports.run("daily", by="tester")
        app.exports.tables.check("daily")
    assert unknown(installation.local) == set()


def test_a_first_run_into_a_filled_table_that_failed_half_way_loses_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepare(installation, app, tmp_path)
        app.exports.run("daily", by="tester")
        app.exports.delete("daily")
        uuids += write_events(tmp_path / "more.jsonl", 300, first=5_000)
        app.events.load(str(tmp_path / "more.jsonl"))
        app.exports.create(CONNECTION, {"name": "anew", "table": "events"}, by="tester")
        installation.local.set_faults(
            [{"path": UPLOAD, "method": "PUT", "nth": 3, "fault": "job_error", "reason": "invalid"}]
        )
        with pytest.raises(TidemillError):
            app.exports.run("anew", by="tester")
        installation.local.set_faults([])
        (run,) = app.exports.run("anew", by="tester")
        assert (run.mode, run.status, run.rows_done) == ("merge", "completed", 300)
        assert installation.uuids() == sorted(uuids)
    client = installation.client()
    assert client.list_tables(installation.dataset) == ["events"]
    client.close()
