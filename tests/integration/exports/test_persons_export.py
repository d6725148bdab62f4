"""The persons model: rows that change, merged by their versions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.errors import ConfigError
from tidemill.events.sources.persons import PersonSource
from tidemill.exports.service import RunProgress


def load(app: App, folder: Path, *lines: dict[str, Any]) -> None:
    """Events, each with an id of its own."""
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text(
        "\n".join(
            json.dumps(
                {
                    "uuid": os.urandom(8).hex(),
                    "event": "hit",
                    "timestamp": "2026-01-02T03:04:05Z",
                    "properties": {},
                    **line,
                }
            )
            for line in lines
        )
    )
    assert app.events.load(str(file), "posthog").rejects == 0


def table(installation: Installation) -> dict[str, dict[str, Any]]:
    """The rows in BigQuery, by distinct_id; each is there once."""
    client = installation.client()
    rows = [dict(row) for row in client.google().list_rows(f"{client.project}.{installation.dataset}.persons")]
    client.close()
    found = {row["distinct_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("json_type", [False, True])
def test_each_run_brings_the_table_to_what_is_known(
    installation: Installation, tmp_path: Path, json_type: bool
) -> None:
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(
            CONNECTION, {"name": "people", "model": "persons", "table": "persons", "json_type": json_type}, by="t"
        )
        load(
            app,
            tmp_path,
            {"distinct_id": "anon", "properties": {"$set": {"plan": "free", "näme": "Ünal"}}},
            {"distinct_id": "b"},
        )
        (first,) = app.exports.run("people", by="t")
        assert (first.mode, first.rows_planned) == ("upsert", 2)
        before = table(installation)
        kept = before["anon"]["properties"]
        assert (kept if json_type else json.loads(kept)) == {"plan": "free", "näme": "Ünal"}
        assert (before["b"]["person_version"], before["b"]["is_deleted"]) == (0, False)
        assert before["b"]["created_at"].isoformat() == "2026-01-02T03:04:05+00:00"

        load(
            app,
            tmp_path,
            {
                "event": "$identify",
                "distinct_id": "ana",
                "properties": {"$anon_distinct_id": "anon", "$set": {"plan": "pro"}},
            },
        )
        app.exports.run("people", by="t")
        after = table(installation)
        assert after["anon"]["person_id"] == after["ana"]["person_id"] == before["anon"]["person_id"]
        assert after["anon"]["person_version"] > before["anon"]["person_version"]
        assert after["b"] == before["b"]
        assert "pro" in str(after["ana"]["properties"])

        assert app.identity.delete(1, "ana")
        app.exports.run("people", by="t")
        gone = table(installation)
        assert [gone[name]["is_deleted"] for name in ("ana", "anon", "b")] == [True, True, False]
        assert "pro" not in str(gone["ana"]["properties"])
        assert app.exports.run("people", by="t") == []
        checked = app.exports.tables.check("people")
        assert (checked.rows, checked.missing, checked.duplicated, checked.foreign) == (3, 0, 0, 0)


@pytest.mark.parametrize("sampled", [1_000_000, 0.000_001], ids=["all", "nearly nothing"])
def test_a_first_run_over_many_persons_brings_all_whatever_a_sample_says(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: float
) -> None:
    monkeypatch.setattr(PersonSource, "few_blocks", 0)
    monkeypatch.setattr(PersonSource, "sampled_blocks", sampled)
    with installation.app(chunk_bytes=1_000) as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "people", "model": "persons", "table": "persons"}, by="t")
        for part in range(4):  # each a step, the first of which is not the last of some
            names = [f"{part}-{number}" for number in range(20)]
            lines = [{"distinct_id": name, "properties": {"$set": {"n": part}}} for name in [*names, "0-1"]]
            load(app, tmp_path, *lines)
            app.identity.catch_up()
        (run,) = app.exports.run("people", by="t")
        assert (run.rows_planned, len(run.chunks)) == ((80, 4) if sampled > 1 else (0, 1))
        assert app.exports.tables.verify("people", by="t").different == ()
    assert len(table(installation)) == 80


@pytest.mark.parametrize("json_type", [False, True])
def test_who_changes_while_a_run_moves_them_is_there_once(
    installation: Installation, tmp_path: Path, json_type: bool
) -> None:
    """The MERGE is bounded by the keys in the stage, whatever has become of them since."""
    fields = {"name": "people", "model": "persons", "table": "persons", "json_type": json_type}
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, fields, by="t")
        load(app, tmp_path, *({"distinct_id": name, "properties": {"$set": {"n": 1}}} for name in ("a", "m", "z ü")))
        app.exports.run("people", by="t")
        load(app, tmp_path, *({"distinct_id": name, "properties": {"$set": {"n": 2}}} for name in ("a", "z ü")))
        changed: list[str] = []

        def change(progress: RunProgress) -> None:
            if progress.doing == "merging" and not changed:
                changed.append("z ü")
                load(app, tmp_path, {"distinct_id": "z ü", "properties": {"$set": {"n": 3}}})
                app.identity.catch_up()

        app.exports.run("people", by="t", progress=change)
        assert changed
        found = table(installation)  # each is there once
        assert [found[name]["person_version"] for name in ("a", "m", "z ü")] == [1, 0, 1]
        app.exports.run("people", by="t")
        assert table(installation)["z ü"]["person_version"] == 2
        assert app.exports.tables.verify("people", by="t").different == ()


def test_a_newer_row_is_never_replaced_by_an_older_one(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "people", "model": "persons", "table": "persons"}, by="t")
        load(app, tmp_path, *({"distinct_id": name, "properties": {"$set": {"n": 1}}} for name in "abcd"))
        app.exports.run("people", by="t")
        client = installation.client()
        for name, change in {
            "a": "person_version = 5, properties = 'newer'",
            "b": "person_distinct_id_version = 5, properties = 'newer'",
            "c": "person_version = NULL, properties = 'older'",
            "d": "properties = 'same'",
        }.items():
            client.query(
                f"UPDATE `{installation.dataset}.persons` SET {change} WHERE distinct_id = '{name}'",
                job_id=f"test_{os.urandom(6).hex()}",
            )
        client.close()
        app.exports.delete("people")
        app.exports.create(CONNECTION, {"name": "anew", "model": "persons", "table": "persons"}, by="t")
        (run,) = app.exports.run("anew", by="t")
        assert run.rows_planned == 4
    found = {name: row["properties"] for name, row in table(installation).items()}
    assert found == {"a": "newer", "b": "newer", "c": '{"n":1}', "d": "same"}


def test_filters_by_event_are_refused(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        with pytest.raises(ConfigError, match="no events to choose"):
            app.exports.create(
                CONNECTION, {"name": "p", "model": "persons", "table": "persons", "include_events": ("x",)}, by="t"
            )


def test_unique_persons_of_each_event_are_counted_as_the_documented_query_does(
    installation: Installation, tmp_path: Path
) -> None:
    """The example of PostHog's page on BigQuery, word for word but for the dataset; the answer is counted by hand."""
    identified = {"$anon_distinct_id": "anon"}
    with installation.app() as app:
        installation.connect(app)
        for model in ("events", "persons"):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
        load(
            app,
            tmp_path,
            *({"event": "seen", "distinct_id": name} for name in ("anon", "anon", "ben", "cleo", "ben")),
            *({"event": "bought", "distinct_id": name} for name in ("ben", "ben")),
            {"event": "seen", "distinct_id": "nobody", "properties": {"$process_person_profile": False}},
        )
        for model in ("events", "persons"):
            app.exports.run(model, by="t")
        # Ana was anonymous before: two ids, one person. Her row of before changes.
        load(app, tmp_path, {"event": "$identify", "distinct_id": "ana", "properties": identified})
        load(app, tmp_path, {"event": "seen", "distinct_id": "ana"}, {"event": "bought", "distinct_id": "ana"})
        for model in ("events", "persons"):
            app.exports.run(model, by="t")
    client = installation.client()
    joined = f"""
        SELECT event, {{}}
        FROM {installation.dataset}.events AS events
        LEFT JOIN {installation.dataset}.persons AS persons
          ON events.distinct_id = persons.distinct_id AND events.team_id = persons.team_id
        WHERE persons.person_id IS NOT NULL
        GROUP BY event ORDER BY unique_persons_count DESC, event"""
    counts = {}
    for number in ("COUNT(persons.person_id)", "COUNT(DISTINCT persons.person_id)"):
        text = joined.format(f"{number} AS unique_persons_count")
        answer = client.google().query_and_wait(text)
        counts[number] = [tuple(row.values()) for row in answer]
    client.close()
    assert counts["COUNT(persons.person_id)"] == [("seen", 6), ("bought", 3), ("$identify", 1)]
    assert counts["COUNT(DISTINCT persons.person_id)"] == [("seen", 3), ("bought", 2), ("$identify", 1)]


def test_a_person_is_deleted_in_the_tables_too_and_nothing_brings_it_back(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app)
        for name in ("people", "others"):
            team = 2 if name == "others" else None
            fields = {"name": name, "model": "persons", "table": name.replace("people", "persons"), "team_id": team}
            app.exports.create(CONNECTION, fields, by="t")
        load(app, tmp_path, *({"distinct_id": name, "properties": {"$set": {"n": 1}}} for name in ("ana", "ben")))
        load(
            app,
            tmp_path,
            {"event": "$identify", "distinct_id": "ana", "properties": {"$anon_distinct_id": "a'\"\\\x01\n1"}},
        )
        load(app, tmp_path, {"distinct_id": "ana", "team_id": 2})
        for name in ("people", "others"):
            app.exports.run(name, by="t")
        app.exports.create(CONNECTION, {"name": "unfinished", "model": "persons", "table": "unfinished"}, by="t")
    words = ("persons", "delete", "ana", "--in-tables", "--yes")
    installation.local.set_faults(
        [{"path": "/jobs", "method": "POST", "fault": "job_error", "reason": "invalidQuery", "times": 9}]
    )
    refused = installation.run(*words)
    assert refused.returncode != 0
    assert "not yet" in refused.stderr
    installation.local.set_faults([])
    done = installation.run(*words)
    assert done.returncode == 0, done.stderr
    assert "2 rows deleted" in done.stderr
    rows = installation.rows("persons")
    assert sorted((row["team_id"], row["distinct_id"]) for row in rows) == [(1, "ben"), (2, "ana")]
    assert len(installation.rows("others")) == 1
    with installation.app() as app:
        assert app.exports.run("people", by="t") == []
        assert not app.exports.tables.verify("people", by="t").different
        estimate = app.exports.backfills.estimate("people", "earliest", None, None)
        app.exports.backfills.begin("people", estimate, by="t", parallel=1, progress=lambda _: None)
        assert len(installation.rows("persons")) == 2
        load(app, tmp_path, {"distinct_id": "ana", "properties": {"$set": {"n": 2}}})  # somebody new
        app.exports.run("people", by="t")
    (again,) = [row for row in installation.rows("persons") if (row["team_id"], row["distinct_id"]) == (1, "ana")]
    assert json.loads(again["properties"]) == {"n": 2}
    assert installation.run("persons", "delete", "nobody", "--in-tables", "--yes").returncode == 4
