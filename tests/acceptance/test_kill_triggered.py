"""A run that somebody asked a worker for is done once, whoever dies in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, write_events
from tests.schedules import NAME, make
from tests.served import Server
from tests.streams import eventually

from tidemill.app import App

#: The load is done, and its answer does not come.
SLOW: list[dict[str, Any]] = [
    {"path": "/upload/bigquery/", "fault": "delay_response", "seconds": 600.0, "times": 1},
]


@pytest.fixture
def asked(installation: Installation, tmp_path: Path) -> Iterator[tuple[App, Server, list[str]]]:
    """An export of a hundred events that is paused; its worker is not begun."""
    with installation.app() as app:
        installation.connect(app)
        make(app)
        app.exports.schedules.pause(NAME, "tester")
        uuids = write_events(tmp_path / "events.jsonl", 100)
        app.events.load(str(tmp_path / "events.jsonl"))
        server = Server(installation, tmp_path / "server.log")
        yield app, server, uuids
        server.kill()


@pytest.mark.parametrize("who", ["worker", "server"])
def test_who_is_killed_in_a_run_that_was_asked_for_has_another_one_finish_it(
    installation: Installation, asked: tuple[App, Server, list[str]], who: str
) -> None:
    app, server, uuids = asked
    installation.local.set_faults(SLOW)
    server.start()
    wanted = app.exports.triggers.run(NAME, by="anna")
    eventually(lambda: any(fault["fired"] for fault in installation.local.faults()), "the run is in the middle")
    if who == "worker":
        found = server.background()
        assert found is not None
        found.kill()
    else:
        server.kill()
        server.start()
    eventually(lambda: app.exports.triggers.get(NAME, wanted.id).is_over, "it is done")
    found_now = app.exports.triggers.get(NAME, wanted.id)
    assert (found_now.status, found_now.error) == ("completed", None)
    assert installation.uuids(NAME) == uuids
    completed = [run for run in app.exports.runs.find(NAME, limit=10) if run.rows_planned]
    assert [(run.status, run.attempt) for run in completed] == [("completed", 1)]
    assert server.stop() == 0, server.said
