"""How exports and runs stand, as lists and the doctor say it: also when the process that moved them is gone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psycopg
import pytest
from tests.installation import CONNECTION, Installation, write_events
from tests.streams import NAME, caught_up, eventually, make_stream, send_all, streaming

from tidemill.api import serve
from tidemill.app import App
from tidemill.bigquery import grants
from tidemill.errors import AccessError, ConflictError
from tidemill.health import Check


def loaded(installation: Installation, app: App, folder: Path) -> None:
    """Ten events, and a connection of an account with five permissions."""
    write_events(folder / "events.jsonl", 10)
    app.events.load(str(folder / "events.jsonl"))
    installation.connect(app, account="streamer", allow=list(grants.STREAMING_EXPORT))


def said(app: App) -> list[Check]:
    """What the doctor says of single exports."""
    return [check for check in app.doctor() if check.name.startswith("export ")]


def test_a_stream_that_nobody_moves_is_not_streamed(installation: Installation, tmp_path: Path) -> None:
    """And one that waits for more is streaming, whatever became of its last run."""
    with installation.app() as app:
        loaded(installation, app, tmp_path)
        make_stream(app)
        assert app.exports.get(NAME).last_status == "not streamed"
        (check,) = said(app)
        assert (check.name, check.status) == (f"export {NAME}", "warning")
        assert check.detail == "10 rows wait."
        assert f"tidemill export stream {NAME}" in check.hint
        listed = installation.run("export", "list")
        assert "not streamed" in listed.stdout
        assert "tidemill serve" in listed.stderr
        with streaming(app) as ended:
            caught_up(app, ended)
            assert app.exports.get(NAME).last_status == "streaming"
            assert said(app) == []
        view = app.exports.get(NAME)
        assert (view.last_status, view.what_to_do, view.interval, view.delivery) == ("not streamed", None, None, None)
        assert said(app) == []
        shown = installation.run("export", "show", NAME).stdout
        assert "interval" not in shown
        assert "delivery" not in shown


def test_a_stream_in_trouble_is_wrong(installation: Installation, tmp_path: Path) -> None:
    """With what to do."""
    with installation.app() as app:
        loaded(installation, app, tmp_path)
        installation.local.key("streamer", allow=["bigquery.datasets.get"])
        make_stream(app)
        with pytest.raises(AccessError):
            send_all(app)
        (check,) = said(app)
        assert check.status == "wrong"
        assert "bigquery.tables" in check.detail
        assert "roles/bigquery.dataEditor" in check.hint
        assert f"tidemill export stream {NAME}" in check.hint
        done = installation.run("doctor")
        assert done.returncode == 1
        assert f"export {NAME}" in done.stdout


def test_for_how_long_it_was_tried_is_not_told_of_a_stream(installation: Installation, tmp_path: Path) -> None:
    """It is told for longer than that is true."""
    with installation.app(retry_deadline_seconds=1) as app:
        loaded(installation, app, tmp_path)
        key = json.dumps({**installation.local.key("stopped"), "token_uri": "http://127.0.0.1:9/token"})
        app.connections.save(CONNECTION, app.connections.changed(CONNECTION, key=key))
        make_stream(app)
        with streaming(app) as ended:
            eventually(lambda: app.exports.get(NAME).trouble, "the trouble is told", ended)
        view = app.exports.get(NAME)
    assert str(view.trouble).startswith("The embedded BigQuery does not answer")
    assert "tried for" not in str(view.trouble)
    assert str(view.what_to_do).startswith("Start it: tidemill local start.")


def test_a_run_whose_process_is_gone_is_interrupted(installation: Installation, tmp_path: Path) -> None:
    """And one that failed is wrong, with its own words."""
    with installation.app() as app:
        write_events(tmp_path / "events.jsonl", 10)
        app.events.load(str(tmp_path / "events.jsonl"))
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily"}, by="tester")
        (run,) = app.exports.run("daily", by="tester")
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
            gone = "status = 'running', finished_at = NULL, worker = 'gone'"
            session.execute(f"UPDATE tidemill.runs SET {gone} WHERE id = %s".encode(), [run.id])
            assert app.exports.get("daily").last_status == "interrupted"
            assert app.exports.runs.find("daily", limit=1)[0].status == "interrupted"
            listed = installation.run("export", "runs")
            assert "interrupted" in listed.stdout
            assert "tidemill export run daily goes on with it" in listed.stderr
            (check,) = said(app)
            assert (check.status, check.hint) == ("warning", "tidemill export run daily goes on with it.")
            failed = "status = 'failed', error_code = 'x', error_message = 'It is full.', error_hint = 'Make room.'"
            session.execute(f"UPDATE tidemill.runs SET {failed} WHERE id = %s".encode(), [run.id])
        (check,) = said(app)
        assert (check.status, check.detail) == ("wrong", "The last run failed: It is full.")
        assert check.hint == "Make room.\nThen: tidemill export run daily"


def test_a_port_that_is_taken_is_said_with_another() -> None:
    with contextlib.closing(serve.bind("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            serve.bind("127.0.0.1", port)
    assert f"--port {port + 1}" in caught.value.hint
    assert "Errno" not in caught.value.message
    with pytest.raises(ConflictError, match=r"cannot listen at 192\.0\.2\.1") as caught:
        serve.bind("192.0.2.1", 8010)
    assert "Errno" not in caught.value.message


def test_a_key_that_goes_into_a_file_leaves_a_sentence(installation: Installation) -> None:
    made = installation.run("key", "create", "--name", "web")
    assert made.stdout.startswith("tm_")
    assert made.stdout.count("\n") == 1
    assert "It went to standard output, and is not shown again." in made.stderr
    assert "is not shown again:" not in made.stderr
