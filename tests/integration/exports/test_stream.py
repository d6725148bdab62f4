"""Streaming exports against the embedded BigQuery: every event once, in whatever way it goes."""

from __future__ import annotations

from pathlib import Path

from tests.installation import Installation, write_events
from tests.streams import NAME, make_stream, send_all


def test_all_events_are_in_the_table_once(installation: Installation, tmp_path: Path) -> None:
    """Those that were there, and those that come later."""
    with installation.app(commit_rows=100) as app:
        installation.connect(app)
        wanted = write_events(tmp_path / "a.jsonl", 1000)
        app.events.load(str(tmp_path / "a.jsonl"))
        make_stream(app)
        send_all(app)
        assert installation.uuids() == wanted
        wanted += write_events(tmp_path / "b.jsonl", 50, first=1000)
        app.events.load(str(tmp_path / "b.jsonl"))
        told = send_all(app)
        assert told[-1].rows == 50
        assert installation.uuids() == sorted(wanted)
        send_all(app)
        assert installation.uuids() == sorted(wanted)
        view = app.exports.get(NAME)
        assert (view.waiting_rows, view.trouble, view.last_status) == (0, None, "completed")
        runs = app.exports.runs(NAME, limit=10)
        assert [(run.kind, run.status, run.rows_done) for run in runs] == [
            ("stream", "completed", 50),
            ("stream", "completed", 1000),
        ]
        assert app.exports.verify(NAME, by="tester").different == ()
