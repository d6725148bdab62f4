"""The same against a real Google project: TIDEMILL_LIVE_KEY (a key file) and TIDEMILL_LIVE_DATASET name it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, write_events
from tests.streams import NAME, send_all

from tidemill.app import App
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.settings import Settings

pytestmark = pytest.mark.live


@pytest.mark.parametrize("json_type", [False, True])
@pytest.mark.parametrize("way", [{}, {"delivery": "storage-write"}, {"mode": "stream", "buffer_seconds": 0}])
def test_events_arrive_once_in_a_real_project(tmp_path: Path, way: dict[str, Any], json_type: bool) -> None:
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
        fields = {"name": NAME, "table": table, "json_type": json_type, **way}
        app.exports.create(CONNECTION, fields, by="live test")
        if "mode" in way:
            send_all(app)
            more = write_events(tmp_path / "more.jsonl", 500, first=500)
            app.events.load(str(tmp_path / "more.jsonl"))
            send_all(app)
        else:
            more = []
            app.exports.run(NAME, by="live test")
        try:
            checked = app.exports.tables.check(NAME)
            assert (checked.rows, checked.missing, checked.duplicated) == (500 + len(more), 0, 0)
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
