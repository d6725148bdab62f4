"""The same against a real Google project: TIDEMILL_LIVE_KEY (a key file) and TIDEMILL_LIVE_DATASET name it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from tests.installation import CONNECTION, write_events

from tidemill.app import App
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.settings import Settings

pytestmark = pytest.mark.live


@pytest.mark.parametrize("json_type", [False, True])
def test_events_arrive_once_in_a_real_project(tmp_path: Path, json_type: bool) -> None:
    key = Path(os.environ["TIDEMILL_LIVE_KEY"]).read_text()
    dataset = os.environ["TIDEMILL_LIVE_DATASET"]
    table = f"tidemill_live_{secrets.token_hex(4)}"
    with App(Settings(home=tmp_path / "home", commit_rows=100, chunk_bytes=4_000)) as app:
        draft = app.connections.draft(name=CONNECTION, dataset=dataset, key=key)
        steps = list(app.connections.test_draft(draft))
        assert [step.message for step in steps if step.status == "failed"] == []
        app.connections.add(draft, by="live test")
        write_events(tmp_path / "events.jsonl", 500)
        app.events.load(str(tmp_path / "events.jsonl"))
        app.exports.create(CONNECTION, {"name": "live", "table": table, "json_type": json_type}, by="live test")
        app.exports.run("live", by="live test")
        try:
            checked = app.exports.check("live")
            assert (checked.rows, checked.missing, checked.duplicated) == (500, 0, 0)
        finally:
            client = Client(Auth(key=key), draft.spec.project)
            client.delete_table(dataset, table)
            client.close()


def test_the_connection_test_for_streaming_passes_in_a_real_project(tmp_path: Path) -> None:
    key = Path(os.environ["TIDEMILL_LIVE_KEY"]).read_text()
    with App(Settings(home=tmp_path / "home")) as app:
        draft = app.connections.draft(name=CONNECTION, dataset=os.environ["TIDEMILL_LIVE_DATASET"], key=key)
        steps = list(app.connections.test_draft(draft, "streaming"))
        assert [step.message for step in steps if step.status in {"failed", "skipped"}] == []
