"""How new tables are laid out, and how much of them a MERGE reads and is billed for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.bigquery.client import Answer, Client

#: Partition and clustering of a new table.
LAYOUTS: dict[str, tuple[tuple[str, str] | None, list[str]]] = {
    "events": (("timestamp", "DAY"), ["event"]),
    "persons": (None, ["team_id", "distinct_id"]),
    "sessions": (None, ["team_id", "session_id"]),
    "amplitude_events": (("event_time", "DAY"), ["event_type", "amplitude_id"]),
    "merge_ids": (None, ["amplitude_id"]),
}


def load(app: App, folder: Path, *names: str) -> None:
    file = folder / f"{'-'.join(names)}.jsonl"
    with file.open("w") as out:
        for number, name in enumerate(names):
            session = f"0190a000-0000-7000-8000-{number:012d}"
            hit: dict[str, Any] = {"uuid": f"{name}{number}", "event": "$identify", "distinct_id": name, "team_id": 1}
            properties = {"$session_id": session, "$anon_distinct_id": f"anon-{name}", "$set": {"n": number}}
            out.write(json.dumps({**hit, "timestamp": "2026-01-02T03:04:05Z", "properties": properties}) + "\n")
            before = {**hit, "uuid": f"anon-{name}{number}", "event": "seen", "distinct_id": f"anon-{name}"}
            out.write(json.dumps({**before, "timestamp": "2026-01-01T03:04:05Z", "properties": {}}) + "\n")
    app.events.load(str(file), "posthog")


@pytest.fixture
def filled(installation: Installation, tmp_path: Path) -> Installation:
    """An export of each model, with a run."""
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, "ana", "ben")
        for model in LAYOUTS:
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model, "team_id": 1}, by="t")
            app.exports.run(model, by="t")
    return installation


def test_new_tables(filled: Installation) -> None:
    client = filled.client()
    for model, (partition, cluster_by) in LAYOUTS.items():
        table = client.get_table(filled.dataset, model)
        if model == "merge_ids" and table is None:
            continue  # nobody was merged
        assert table
        assert (table.partition, list(table.cluster_by)) == (partition, cluster_by), model
        described = client.google().get_table(f"{client.project}.{filled.dataset}.{model}")
        assert all(field.description for field in described.schema)
    client.close()


def test_a_merge_names_the_first_and_last_key_and_what_it_was_billed_is_kept(
    filled: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, statements = Client.query, list[str]()

    def query(client: Client, text: str, **more: Any) -> Answer:
        answer = plain(client, text, **more)
        if not text.startswith("MERGE"):
            return answer
        statements.append(text)
        return dataclasses.replace(answer, bytes_billed=10_485_760)

    monkeypatch.setattr(Client, "query", query)
    with filled.app() as app:
        load(app, tmp_path, "eve", "fay")
        for model, bounds in (
            ("persons", 'final.`distinct_id` BETWEEN "anon-eve" AND "fay"'),
            ("sessions", 'final.`session_id` BETWEEN "0190a000-0000-7000-8000-000000000000" AND "0190a000'),
        ):
            (run,) = app.exports.run(model, by="t")
            assert bounds in statements[-1]
            assert (run.bytes_billed, run.mode) == (10_485_760, "upsert")
        estimate = app.exports.backfills.estimate("events", "2026-01-02", None, "day")
        app.exports.backfills.begin("events", estimate, by="t", parallel=1, progress=lambda _: None)
        assert "final.`timestamp` BETWEEN TIMESTAMP '2026-01-02 03:04:05" in statements[-1]
