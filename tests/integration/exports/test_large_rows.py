"""Rows of hundreds of kilobytes go through the memory that DuckDB may use, whatever they shrink to in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation

MODELS = ("events", "persons", "amplitude_events")
EVENTS, BYTES = 400, 300_000


@pytest.mark.parametrize("json_type", [False, True])
def test_large_rows_that_compress_well(installation: Installation, tmp_path: Path, json_type: bool) -> None:
    file = tmp_path / "events.jsonl"
    with file.open("w") as out:
        for number in range(EVENTS):
            event = {"uuid": f"u{number}", "event": "hit", "distinct_id": f"p{number % 20}"}
            event |= {"timestamp": "2026-01-01T00:00:00Z"}
            large = {"$set": {"text": f'{number} "\\ \n' + "x" * BYTES}}
            out.write(json.dumps({**event, "properties": large}) + "\n")
    with installation.app(duckdb_threads=2) as app:
        installation.connect(app)
        app.events.load(str(file), "posthog")
        for model in MODELS:
            fields = {"name": model, "model": model, "table": model, "team_id": 1, "json_type": json_type}
            app.exports.create(CONNECTION, fields, by="t")
            (run,) = app.exports.run(model, by="t")
            assert run.status == "completed"
            rows = installation.rows(model)
            assert len(rows) == (20 if model == "persons" else EVENTS)
            told = "properties" if model != "amplitude_events" else "user_properties"
            texts = [row[told] if isinstance(row[told], dict) else json.loads(row[told]) for row in rows]
            found = [text["$set"] if model == "events" else text for text in texts]
            assert {len(one["text"]) for one in found} <= {BYTES + n for n in range(9)}
            assert all('"\\ \n' in one["text"] for one in found)
