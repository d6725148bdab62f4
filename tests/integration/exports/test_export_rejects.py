"""Rows that a run could not deliver: listed, written to a file, tried again; never lost, never there twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation, write_events

from tidemill.app import App
from tidemill.bigquery.tables import Layout
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.models.model import Column
from tidemill.models.types import Type

NARROW = {"commit_rows": 50, "chunk_bytes": 4_000, "max_row_bytes": 1_000}
WIDE = {**NARROW, "max_row_bytes": 100_000_000}


def with_rejects(installation: Installation, app: App, tmp_path: Path, **fields: object) -> tuple[list[str], list[str]]:
    """An export whose run set three rows aside. Gives the uuids that arrived, and those that did not."""
    small = write_events(tmp_path / "small.jsonl", 200)
    large = write_events(tmp_path / "large.jsonl", 3, first=5_000, size=4_000)
    app.events.load(str(tmp_path / "small.jsonl"))
    app.events.load(str(tmp_path / "large.jsonl"))
    more = write_events(tmp_path / "more.jsonl", 100, first=9_000)
    app.events.load(str(tmp_path / "more.jsonl"))
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events", **fields}, by="tester")
    (run,) = app.exports.run("daily", by="tester")
    assert (run.rows_done, run.rows_rejected) == (300, 3)
    return sorted(small + more), large


def test_what_was_set_aside_is_listed_with_its_reason(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        _, large = with_rejects(installation, app, tmp_path)
        found = app.exports.set_aside.find("daily")
        assert sorted(reject.uuid for reject in found) == large
        assert {(reject.export, reject.code) for reject in found} == {("daily", "row_too_large")}
        assert [reject.id for reject in found] == sorted((reject.id for reject in found), reverse=True)
        assert app.exports.set_aside.find() == found
        assert app.exports.set_aside.find("daily", run_id=found[0].run) == found
        assert app.exports.set_aside.find("daily", limit=1) == found[:1]
        assert app.exports.set_aside.find("daily", code="json_invalid") == []


def test_they_are_sent_once_they_fit_and_only_they(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        small, large = with_rejects(installation, app, tmp_path)
        (first,) = app.exports.runs.find("daily", limit=1)
        position = app.exports.get("daily").position
    with installation.app(**WIDE) as app:
        (run,) = app.exports.set_aside.retry("daily", by="tester")
        assert (run.status, run.mode, run.rows_done, run.rows_rejected) == ("completed", "merge", 3, 0)
        assert sum(chunk.rows for chunk in run.chunks) < 20  # what lies between them goes along, and no more
        assert installation.uuids() == sorted(small + large)
        assert app.exports.set_aside.find("daily") == []
        assert app.exports.get("daily").position == position
        assert run.short_id in " ".join(app.exports.runs.get(first.short_id).notes)
        assert first.short_id in " ".join(run.notes)
        assert app.exports.set_aside.retry("daily", by="tester") == []
        write_events(tmp_path / "later.jsonl", 20, first=20_000)
        app.events.load(str(tmp_path / "later.jsonl"))
        (later,) = app.exports.run("daily", by="tester")
        assert (later.mode, later.rows_done) == ("append", 20)
    client = installation.client()
    assert client.list_tables(installation.dataset) == ["events"]
    client.close()


def test_what_still_does_not_fit_is_set_aside_anew_and_once(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        small, large = with_rejects(installation, app, tmp_path)
        for _ in range(2):
            (run,) = app.exports.set_aside.retry("daily", by="tester")
            assert (run.rows_done, run.rows_rejected) == (0, 3)
            found = app.exports.set_aside.find("daily")
            assert sorted(reject.uuid for reject in found) == large
            assert {reject.run for reject in found} == {run.short_id}
        assert installation.uuids() == small


def test_to_retry_a_completed_run_sends_what_it_set_aside(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        small, large = with_rejects(installation, app, tmp_path, json_type=True)
        (first,) = app.exports.runs.find("daily", limit=1)
    with installation.app(**WIDE) as app:
        again = app.exports.runs.retry(first.short_id)
        assert again.short_id != first.short_id
        assert installation.uuids() == sorted(small + large)
        with pytest.raises(ConflictError) as caught:
            app.exports.runs.retry(first.short_id)
        assert caught.value.code == "run_completed"


def test_a_retry_that_fails_half_way_is_finished_by_the_next_run(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        small, large = with_rejects(installation, app, tmp_path)
    with installation.app(**WIDE) as app:
        fault = {"path": "/upload/bigquery/", "method": "PUT", "fault": "job_error", "reason": "invalid"}
        installation.local.set_faults([fault])
        with pytest.raises(TidemillError):
            app.exports.set_aside.retry("daily", by="tester")
        installation.local.set_faults([])
        assert len(app.exports.set_aside.find("daily")) == 3
        with pytest.raises(ConflictError) as caught:
            app.exports.set_aside.retry("daily", by="tester")
        assert caught.value.code == "run_unfinished"
        (run,) = app.exports.run("daily", by="tester")
        assert (run.attempt, run.rows_done) == (2, 3)
        assert app.exports.set_aside.find("daily") == []
        assert installation.uuids() == sorted(small + large)


def test_rows_that_came_by_another_way_meanwhile_are_not_added_twice(
    installation: Installation, tmp_path: Path
) -> None:
    """The rejecting export was deleted and made again: its events were exported anew, and the old rejects are gone."""
    with installation.app(**NARROW) as app:
        small, large = with_rejects(installation, app, tmp_path)
        app.exports.delete("daily")
        assert app.exports.set_aside.find() == []
        app.exports.create(CONNECTION, {"name": "anew", "table": "events"}, by="tester")
        (run,) = app.exports.run("anew", by="tester")
        assert (run.rows_done, run.rows_rejected) == (0, 3)
    with installation.app(**WIDE) as app:
        app.exports.set_aside.retry("anew", by="tester")
        assert installation.uuids() == sorted(small + large)


def test_a_table_without_the_key_is_refused_before_there_is_a_run_in_the_way(
    installation: Installation, tmp_path: Path
) -> None:
    client = installation.client()
    client.create_table(installation.dataset, "events", Layout((Column("event", Type.STRING, ""),)))
    client.close()
    with installation.app(**NARROW) as app:
        with_rejects(installation, app, tmp_path)
        with pytest.raises(ConfigError) as caught:
            app.exports.set_aside.retry("daily", by="tester")
        assert caught.value.code == "key_missing"
        assert len(app.exports.runs.find("daily", limit=9)) == 1


def test_filters_of_then_hold_for_the_retry(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        installation.connect(app)
        write_events(tmp_path / "large.jsonl", 14, size=4_000)
        app.events.load(str(tmp_path / "large.jsonl"))
        fields = {"name": "daily", "table": "events", "include_events": ("event 1", "event 2")}
        app.exports.create(CONNECTION, fields, by="tester")
        (run,) = app.exports.run("daily", by="tester")
        assert (run.rows_done, run.rows_rejected) == (0, 4)
    with installation.app(**WIDE) as app:
        app.exports.edit("daily", {"include_events": ("event 3",)})
        (again,) = app.exports.set_aside.retry("daily", by="tester")
        assert again.rows_done == 4
        assert len(installation.uuids()) == 4


def test_mended_in_a_file_they_come_in_as_new_events(installation: Installation, tmp_path: Path) -> None:
    out = tmp_path / "rejected.jsonl"
    with installation.app(**NARROW) as app:
        small, large = with_rejects(installation, app, tmp_path)
        assert app.exports.set_aside.export("daily", out) == 3
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert sorted(line["rejected_uuid"] for line in lines) == large
        assert all("uuid" not in line for line in lines)
        for line in lines:
            line["properties"]["filler"] = "shorter"
        out.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert app.events.load(str(out), "posthog").rows == 3
        (run,) = app.exports.run("daily", by="tester")
        assert (run.rows_done, run.rows_rejected) == (3, 0)
        assert len(installation.uuids()) == len(small) + 3
        assert app.exports.set_aside.dismiss("daily", code="json_invalid") == 0
        assert app.exports.set_aside.dismiss("daily") == 3
        assert app.exports.set_aside.find("daily") == []
        assert app.exports.set_aside.retry("daily", by="tester") == []


def test_the_command_line_says_by_its_code_that_rows_were_set_aside(installation: Installation, tmp_path: Path) -> None:
    narrow = {f"TIDEMILL_{name.upper()}": str(value) for name, value in NARROW.items()}
    with installation.app(**NARROW) as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
    write_events(tmp_path / "large.jsonl", 2, size=4_000)
    assert installation.run("events", "load", str(tmp_path / "large.jsonl")).returncode == 0
    run = installation.run("export", "run", "daily", "--strict", "--json", **narrow)
    assert run.returncode == 6, run.stderr
    (view,) = json.loads(run.stdout)
    assert (view["status"], view["rows_rejected"]) == ("completed", 2)
    listed = installation.run("export", "rejects", "list", "daily")
    assert listed.stdout.count("row_too_large") == 2
    assert installation.run("export", "rejects", "export", "daily", "--out", str(tmp_path / "out")).returncode == 0
    assert installation.run("export", "rejects", "retry", "daily", **narrow).returncode == 6
    done = installation.run("export", "rejects", "retry", "daily", "--json")
    assert done.returncode == 0, done.stderr
    assert len(installation.uuids()) == 2
    nothing = installation.run("export", "rejects", "retry", "daily")
    assert (nothing.returncode, "nothing is set aside" in nothing.stderr) == (0, True)
    assert installation.run("export", "run", "daily", "--strict").returncode == 0


def test_two_teams_may_have_the_same_uuid(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**NARROW) as app:
        (large,) = write_events(tmp_path / "large.jsonl", 1, size=4_000)
        for team in (1, 2):
            app.events.load(str(tmp_path / "large.jsonl"), team_id=team)
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_rejected == 2
        assert [reject.uuid for reject in app.exports.set_aside.find("daily")] == [large, large]
    with installation.app(**WIDE) as app:
        (again,) = app.exports.set_aside.retry("daily", by="tester")
        assert again.rows_done == 2
        assert app.exports.set_aside.find("daily") == []
