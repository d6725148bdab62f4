"""Whatever Google's side does wrong, runs that merge and backfills leave each row once, the newest; or fail clearly."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.errors import AccessError, TidemillError, UnavailableError
from tidemill.exports.steps import finish

UPLOAD, JOBS = "/upload/bigquery/", "^/bigquery/v2/projects/[^/]+/jobs$"
TABLES = "/bigquery/v2/.*/tables"
SMALL = {"commit_rows": 20, "chunk_bytes": 4_000, "parallel_loads": 2}
MODELS = ("persons", "sessions")

#: What is survived: the MERGE is a job that is POSTed, its stage a table that is made and dropped.
PLANS: dict[str, dict[str, Any]] = {
    "503 after the MERGE was done": {"path": JOBS, "method": "POST", "fault": "status", "status": 503}
    | {"after_commit": True},
    "503 before it": {"path": JOBS, "method": "POST", "fault": "status", "status": 503, "times": 2},
    "connection cut after it was done": {"path": JOBS, "method": "POST", "fault": "cut", "after_commit": True},
    "connection cut before it": {"path": JOBS, "method": "POST", "fault": "cut", "times": 2},
    "a MERGE that ends with backendError": {"path": JOBS, "method": "POST", "fault": "job_error"}
    | {"reason": "backendError"},
    "too many MERGEs": {"path": JOBS, "method": "POST", "fault": "status", "status": 429, "reason": "rateLimitExceeded"}
    | {"retry_after": 1},
    "a stage that was made, though it is said it was not": {"path": TABLES, "method": "POST", "fault": "status"}
    | {"status": 502, "after_commit": True},
    "a stage that cannot be dropped": {"path": TABLES, "method": "DELETE", "fault": "status", "status": 403}
    | {"reason": "accessDenied"},
    "a load into the stage that was done, though it is said it was not": {"path": UPLOAD, "method": "PUT"}
    | {"fault": "cut", "after_commit": True},
    "tokens that expire": {"path": JOBS, "method": "POST", "fault": "expire_tokens"},
}
#: What ends a run.
FATAL: dict[str, dict[str, Any]] = {
    "a load that is refused": {"path": UPLOAD, "method": "PUT", "fault": "job_error", "reason": "invalid"},
    "a MERGE that is refused": {"path": JOBS, "method": "POST", "fault": "job_error", "reason": "invalidQuery"},
    "a stage that cannot be made": {"path": TABLES, "method": "POST", "fault": "status", "status": 403}
    | {"reason": "accessDenied"},
}


def load(app: App, folder: Path, seed: int) -> None:
    """Events of a few people who turn out to be the same, in sessions that go over several days."""
    chance, lines = random.Random(seed), []
    for number in range(60):
        properties: dict[str, Any] = {"$session_id": f"0190a000-0000-7000-8000-{chance.randrange(40):012x}"}
        properties |= {"$set": {"n": chance.randrange(9)}}
        kind = chance.choice(["$pageview", "$set", "$identify"])
        properties |= {"$anon_distinct_id": f"p{chance.randrange(60)}"} if kind == "$identify" else {}
        moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=chance.randrange(5 * 1440))
        line = {"uuid": f"{seed}-{number}", "event": kind, "distinct_id": f"p{chance.randrange(60)}"}
        lines.append({**line, "timestamp": moment.isoformat(), "properties": properties})
    file = folder / f"{seed}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), "posthog").rows == len(lines)


def filled(installation: Installation, app: App, folder: Path, **permissions: Any) -> None:
    """An export of each model with a first run, and events that wait for the next one."""
    installation.connect(app, **permissions)
    load(app, folder, 1)
    for model in MODELS:
        app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
        app.exports.run(model, by="t")
    load(app, folder, 2)


def as_it_should_be(installation: Installation, app: App, model: str) -> None:
    """As a run into a table of its own says, row by row; and no stage is left that does not go by itself."""
    assert app.exports.tables.verify(model, by="t").different == ()
    app.exports.create(CONNECTION, {"name": f"plain {model}", "model": model, "table": f"plain_{model}"}, by="t")
    app.exports.run(f"plain {model}", by="t")
    assert rows(installation, model) == rows(installation, f"plain_{model}")
    client = installation.client()
    for name in client.list_tables(installation.dataset):
        table = client.get_table(installation.dataset, name)
        if table and "stage" in name:
            assert table.expires
            assert table.expires <= dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
            assert table.partition is None
    client.close()


def rows(installation: Installation, table: str) -> list[str]:
    found = installation.rows(table)
    for row in found:
        row.pop("bq_updated_timestamp")
    return sorted(map(str, found))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_a_fault_changes_nothing(installation: Installation, tmp_path: Path, plan: dict[str, Any]) -> None:
    with installation.app(**SMALL) as app:
        filled(installation, app, tmp_path)
        for model in MODELS:
            installation.local.set_faults([plan])
            (run,) = app.exports.run(model, by="t")
            fired = [fault["fired"] for fault in installation.local.faults()]
            installation.local.set_faults([])
            assert (run.status, run.mode, all(fired)) == ("completed", "upsert", True)
            left = any("expires within a day" in note for note in run.notes)
            assert left == (plan["method"] == "DELETE")
            as_it_should_be(installation, app, model)


@pytest.mark.parametrize("plan", FATAL.values(), ids=FATAL.keys())
def test_a_run_that_fails_changes_nothing_and_the_next_one_goes_on(
    installation: Installation, tmp_path: Path, plan: dict[str, Any]
) -> None:
    with installation.app(**SMALL) as app:
        filled(installation, app, tmp_path)
        for model in MODELS:
            before = rows(installation, model)
            installation.local.set_faults([plan])
            with pytest.raises(TidemillError):
                app.exports.run(model, by="t")
            installation.local.set_faults([])
            assert rows(installation, model) == before
            load(app, tmp_path, 10 + MODELS.index(model))
            finished = app.exports.run(model, by="t")
            assert [(run.status, run.attempt) for run in finished] == [("completed", 2), ("completed", 1)]
            as_it_should_be(installation, app, model)


SOME = {name: PLANS[name] for name in ("503 after the MERGE was done", "a stage that cannot be dropped")} | FATAL


@pytest.mark.parametrize("plan", SOME.values(), ids=SOME.keys())
def test_a_backfill_with_a_fault(installation: Installation, tmp_path: Path, plan: dict[str, Any]) -> None:
    """Sessions of several days are in several intervals, which are moved at once."""
    with installation.app(**SMALL) as app:
        filled(installation, app, tmp_path)
        app.exports.run("sessions", by="t")
        client = installation.client()
        client.query(f"DELETE FROM `{installation.dataset}.sessions` WHERE TRUE", job_id="test_" + tmp_path.name)
        client.close()
        estimate = app.exports.backfills.estimate("sessions", "earliest", None, "day")
        assert estimate.rows > len({row["session_id"] for row in installation.rows("sessions")})
        installation.local.set_faults([plan])
        view = app.exports.backfills.begin("sessions", estimate, by="t", parallel=4, progress=lambda _: None)
        installation.local.set_faults([])
        if plan in FATAL.values():
            assert (view.status, view.intervals_failed) == ("failed", 1), "the others went on"
            view = app.exports.backfills.resume("sessions", by="t", parallel=4, progress=lambda _: None)
        assert (view.status, view.percent) == ("completed", 100.0)
        as_it_should_be(installation, app, "sessions")


def test_without_the_right_to_drop_tables_it_works_and_says_that_stages_expire(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        filled(installation, app, tmp_path, account="no-delete", deny=["bigquery.tables.delete"])
        for model in MODELS:
            (run,) = app.exports.run(model, by="t")
            assert any("expires within a day" in note for note in run.notes)
            assert run.bytes_billed >= 0
            as_it_should_be(installation, app, model)


def test_without_the_right_to_read_it_says_what_is_missing(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        filled(installation, app, tmp_path, account="reader")
        before = rows(installation, "persons")
        installation.local.key("reader", deny=["bigquery.tables.getData"])
        with pytest.raises(AccessError, match=r"bigquery\.tables\.getData") as missing:
            app.exports.run("persons", by="t")
        assert "GRANT" in missing.value.hint or "gcloud" in missing.value.hint
        assert rows(installation, "persons") == before
        installation.local.key("reader")
        app.exports.run("persons", by="t")
        as_it_should_be(installation, app, "persons")


def test_a_stage_that_was_merged_and_not_dropped_is_dropped_by_the_next_attempt(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds data of people, and nobody would look at it again until it expires."""

    left = [True]

    def dies(*_: object) -> None:
        if left and left.pop():  # and then it does nothing any more
            raise UnavailableError("gone", "The process died.")

    with installation.app(**SMALL) as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "persons", "model": "persons", "table": "persons"}, by="t")
        load(app, tmp_path, 1)
        with monkeypatch.context() as patched, pytest.raises(UnavailableError):
            patched.setattr(finish, "_drop_stage", dies)
            app.exports.run("persons", by="t")
        (run,) = app.exports.run("persons", by="t")
    client = installation.client()
    assert (run.status, client.list_tables(installation.dataset)) == ("completed", ["persons"])
    client.close()
