"""Runs that go over ground again: rows of any model that were set aside are sent once they fit, and a finished run that
is run again changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.errors import ConfigError, ConflictError

MODELS = ("events", "persons", "sessions", "amplitude_events", "merge_ids")
SMALL = {"max_row_bytes": 3_000}


def load(app: App, folder: Path, *lines: dict[str, Any]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text(
        "\n".join(json.dumps({"uuid": os.urandom(8).hex(), "event": "$pageview", **line}) for line in lines)
    )
    assert app.events.load(str(file), "posthog").rejects == 0


def hit(session: int, person: str, **properties: Any) -> dict[str, Any]:
    properties |= {"$session_id": f"0190a000-0000-7000-8000-{session:012d}"}
    return {"distinct_id": person, "timestamp": f"2026-01-0{1 + session % 5}T00:00:00Z", "properties": properties}


def create(app: App, model: str, **fields: Any) -> None:
    app.exports.create(CONNECTION, {"name": model, "model": model, "table": model, "team_id": 1, **fields}, by="t")


def rows(installation: Installation, table: str) -> list[dict[str, Any]]:
    """Without when they were handed over, which a repetition may change where nothing else does."""
    found = installation.rows(table)
    for row in found:
        row.pop("bq_ingested_timestamp", None), row.pop("bq_updated_timestamp", None)
    return sorted(found, key=str)


@pytest.fixture
def filled(installation: Installation, tmp_path: Path) -> Installation:
    """An export of each model, each with a run."""
    with installation.app(commit_rows=5, chunk_bytes=2_000) as app:
        installation.connect(app)
        for model in MODELS:
            create(app, model)
        load(app, tmp_path, *(hit(n, f"p{n % 6}", **{"$set": {"n": n}}) for n in range(20)))
        merged = {"event": "$identify", "distinct_id": "p1", "timestamp": "2026-01-01T00:00:00Z"}
        load(app, tmp_path, {**merged, "properties": {"$anon_distinct_id": "p2"}})
        for model in MODELS:
            app.exports.run(model, by="t")
    return installation


@pytest.mark.parametrize("model", MODELS)
def test_a_finished_run_that_is_run_again_leaves_the_table_as_it_is(
    filled: Installation, tmp_path: Path, model: str
) -> None:
    before = rows(filled, model)
    with filled.app(commit_rows=5, chunk_bytes=2_000) as app:
        (run,) = app.exports.runs.find(model, limit=1)
        position = app.exports.get(model).position
        again = app.exports.runs.again(run.short_id, by="t")
        assert (again.status, again.rows_done) == ("completed", 0)
        assert rows(filled, model) == before
        load(app, tmp_path, hit(1, "p1", **{"$set": {"n": 99}}))
        app.exports.run(model, by="t")
        newer = rows(filled, model)
        assert app.exports.runs.again(run.short_id, by="t").rows_done == 0
        assert rows(filled, model) == newer, "an older state took the place of a newer one"
        client = filled.client()
        client.query(f"DELETE FROM `{filled.dataset}.{model}` WHERE TRUE", job_id=f"test_{os.urandom(6).hex()}")
        client.close()
        app.exports.runs.again(run.short_id, by="t")
        assert len(rows(filled, model)) >= len(before) - 2, "what was lost comes back, but for what is newer"
        assert app.exports.get(model).position >= position


def test_what_cannot_be_run_again_is_refused(installation: Installation, tmp_path: Path) -> None:
    sql = "SELECT uuid, distinct_id AS who FROM events"
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, hit(1, "a"), hit(2, "b"))
        new = f"{sql} WHERE inserted_at >= {{data_interval_start}}"
        app.exports.create(CONNECTION, {"name": "added", "table": "added", "sql": new}, by="t")
        app.exports.create(CONNECTION, {"name": "last", "table": "last", "sql": sql, "key": ("who",)}, by="t")
        runs = {name: app.exports.run(name, by="t")[0] for name in ("added", "last")}
        with pytest.raises(ConfigError, match="no key"):
            app.exports.runs.again(runs["added"].short_id, by="t")
        assert app.exports.runs.again(runs["last"].short_id, by="t").status == "completed"
        assert len(rows(installation, "last")) == 2
        load(app, tmp_path, hit(3, "a"))
        app.exports.run("last", by="t")
        with pytest.raises(ConfigError, match="later run"):
            app.exports.runs.again(runs["last"].short_id, by="t")
        installation.local.set_faults([{"path": "/upload/", "fault": "job_error", "reason": "invalid"}])
        load(app, tmp_path, hit(3, "a"))
        with pytest.raises(Exception, match="invalid"):
            app.exports.run("last", by="t")
        installation.local.set_faults([])
        (failed, *_) = app.exports.runs.find("last", limit=1)
        with pytest.raises(ConflictError, match="failed"):
            app.exports.runs.again(failed.short_id, by="t")


@pytest.mark.parametrize("model", ["persons", "sessions"])
@pytest.mark.parametrize("way", ["retry", "backfill", "next run"])
def test_a_row_that_is_no_event_is_sent_once_it_fits(
    installation: Installation, tmp_path: Path, model: str, way: str
) -> None:
    large = hit(1, "large", **{"$set": {"x": "y" * 4_000}, "$current_url": f"https://a.example/{'z' * 4_000}"})
    with installation.app(**SMALL) as app:
        installation.connect(app)
        create(app, model)
        load(app, tmp_path, large, hit(2, "small"))
        (first,) = app.exports.run(model, by="t")
        assert first.rows_rejected == 1
        assert len(app.exports.set_aside.find(model)) == 1
        assert app.exports.tables.verify(model, by="t").different == ()
        (again,) = app.exports.set_aside.retry(model, by="t")
        assert again.rows_rejected == 1
        (listed,) = app.exports.set_aside.find(model)
        assert listed.run == again.short_id
        with pytest.raises(ConfigError, match="no event"):
            app.exports.set_aside.export(model, tmp_path / "out")
    with installation.app() as app:
        match way:
            case "retry":
                app.exports.set_aside.retry(model, by="t")
            case "backfill":
                estimate = app.exports.backfills.estimate(
                    model, "earliest", None, "week" if model == "sessions" else None
                )
                app.exports.backfills.begin(model, estimate, by="t", parallel=1, progress=lambda _: None)
            case _:
                load(app, tmp_path, {**large, "event": "hit", "properties": {**large["properties"], "$set": {"v": 1}}})
                app.exports.run(model, by="t")
        assert app.exports.set_aside.find(model) == []
        assert len(rows(installation, model)) == 2
        assert app.exports.tables.verify(model, by="t").different == ()
