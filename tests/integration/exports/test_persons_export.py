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
        checked = app.exports.check("people")
        assert (checked.rows, checked.missing, checked.duplicated, checked.foreign) == (3, 0, 0, 0)


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
        app.exports.create(CONNECTION, {"name": "again", "model": "persons", "table": "persons"}, by="t")
        (run,) = app.exports.run("again", by="t")
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
