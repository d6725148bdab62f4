"""What needs a table to be still gets it while a stream goes on: to verify it, to delete a person or the export."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, write_events
from tests.stream_kills import APPEND, Watch
from tests.streams import NAME, caught_up, eventually, make_stream, send_all, streaming

from tidemill.app import App
from tidemill.bigquery.write_connection import Connection
from tidemill.errors import ConflictError, NotFoundError
from tidemill.exports.stream import streaming as stream_module

SMALL: dict[str, Any] = {"commit_rows": 100, "stream_window_bytes": 1000}


@pytest.fixture
def prepared(installation: Installation, tmp_path: Path) -> Iterator[tuple[App, App, list[str]]]:
    """Two processes' view of an installation with a stream that has sent a thousand events."""
    with installation.app(**SMALL) as app, installation.app(**SMALL) as other:
        wanted = write_events(tmp_path / "a.jsonl", 1000)
        app.events.load(str(tmp_path / "a.jsonl"))
        installation.connect(app)
        make_stream(app)
        yield app, other, wanted


def more(app: App, tmp_path: Path, first: int, count: int = 300) -> list[str]:
    """More events."""
    uuids = write_events(tmp_path / f"{first}.jsonl", count, first=first)
    app.events.load(str(tmp_path / f"{first}.jsonl"))
    return uuids


def test_a_table_is_verified_while_its_stream_goes_on(
    installation: Installation, prepared: tuple[App, App, list[str]], tmp_path: Path
) -> None:
    """It pauses for as long as that takes."""
    app, other, wanted = prepared
    with streaming(app) as ended:
        for turn in range(3):
            wanted += more(other, tmp_path, 1000 + 300 * turn)
            assert other.exports.tables.verify(NAME, by="tester").different == ()
        caught_up(other, ended)
    assert not ended
    assert installation.uuids() == sorted(wanted)


def test_a_person_is_deleted_while_its_events_are_on_their_way(
    installation: Installation, prepared: tuple[App, App, list[str]], tmp_path: Path
) -> None:
    """What was read before comes to the table, and is deleted there."""
    app, other, wanted = prepared
    with streaming(app) as ended:
        eventually(lambda: app.exports.get(NAME).position, "the stream has begun", ended)
        wanted += more(other, tmp_path, 1000)
        other.exports.erase_person(1, "user-7", events=True, by="tester", told=lambda _: None)
        wanted += more(other, tmp_path, 1300)
        caught_up(other, ended)
    assert not ended
    late = {uuid for uuid in wanted if int(uuid[-12:]) >= 1300}
    assert installation.uuids() == sorted(uuid for uuid in wanted if int(uuid[-12:]) % 100 != 7 or uuid in late)


def test_who_does_not_get_it_still_has_disturbed_nothing(
    installation: Installation, prepared: tuple[App, App, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was on its way when somebody wanted the table to be still, and gave up, comes once."""
    app, other, wanted = prepared
    monkeypatch.setattr(stream_module, "_STILL_WITHIN_SECONDS", 1.0)
    slow = {"path": APPEND, "method": "GRPC", "fault": "delay_response", "seconds": 5, "nth": 3}
    installation.local.set_faults([slow])
    with contextlib.closing(Watch(installation)) as watch, streaming(app) as ended:
        eventually(lambda: watch.rows() >= 300, "some of the rows are in", ended)
        with pytest.raises(ConflictError, match="does not come to rest"):
            other.exports.tables.verify(NAME, by="tester")
        caught_up(other, ended)
    assert not ended
    assert installation.uuids() == sorted(wanted)


def test_an_export_that_is_deleted_ends_its_stream(
    installation: Installation, prepared: tuple[App, App, list[str]]
) -> None:
    """What is in the table stays."""
    app, other, wanted = prepared
    with streaming(app) as ended:
        eventually(lambda: app.exports.get(NAME).position, "the stream has begun", ended)
        other.exports.delete(NAME)
        eventually(lambda: ended, "the stream ends")
    assert isinstance(ended[0], NotFoundError)
    assert ended[0].code == "export_unknown"
    rows = installation.uuids()
    assert set(rows) <= set(wanted)
    assert len(rows) == len(set(rows))


def test_backfills_and_runs_again_go_on_beside_a_stream(
    installation: Installation, prepared: tuple[App, App, list[str]], tmp_path: Path
) -> None:
    """They merge what the stream has sent already, and nothing is there twice."""
    app, other, wanted = prepared
    with streaming(app) as ended:
        caught_up(other, ended)
        wanted += more(other, tmp_path, 1000, 1000)
        estimate = other.exports.backfills.estimate(NAME, "earliest", None, "day")
        other.exports.backfills.begin(NAME, estimate, by="tester", parallel=2, progress=lambda _: None)
        caught_up(other, ended)
    assert not ended
    assert installation.uuids() == sorted(wanted)
    run = next(one for one in other.exports.runs.find(NAME, limit=99) if one.kind == "stream")
    assert other.exports.runs.again(str(run.id), by="tester").rows_done == 0
    assert installation.uuids() == sorted(wanted)


def test_rows_that_were_set_aside_are_tried_again_beside_a_stream(
    installation: Installation, prepared: tuple[App, App, list[str]], tmp_path: Path
) -> None:
    """Once the run that set them aside is over."""
    app, other, wanted = prepared
    event = {"uuid": "old", "event": "odd", "distinct_id": "u", "timestamp": "2001-01-01T00:00:00Z", "properties": {}}
    (tmp_path / "old.jsonl").write_text(json.dumps(event) + "\n")
    with streaming(app) as ended:
        other.events.load(str(tmp_path / "old.jsonl"))
        eventually(lambda: other.exports.set_aside.find(NAME), "the row is set aside", ended)
        caught_up(other, ended)
        with pytest.raises(ConflictError) as running:
            other.exports.set_aside.retry(NAME, by="tester")
        assert running.value.code == "run_streams"
        other.exports.tables.verify(NAME, by="tester")  # which ends the run
        wanted += more(other, tmp_path, 1000)
        other.exports.set_aside.retry(NAME, by="tester")
        caught_up(other, ended)
    assert not ended
    assert installation.uuids() == sorted([*wanted, "old"])
    assert other.exports.set_aside.find(NAME) == []


def test_a_stream_that_was_left_in_the_middle_must_be_finished_first(
    installation: Installation, prepared: tuple[App, App, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the table is verified; it may be deleted all the same."""

    class Cut(BaseException):
        pass

    def send(*_: Any) -> Any:
        raise Cut

    app, other, wanted = prepared
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "send", send)
        with pytest.raises(Cut):
            send_all(app)
    with pytest.raises(ConflictError) as unfinished:
        other.exports.tables.verify(NAME, by="tester")
    assert "tidemill export stream live --once" in unfinished.value.hint
    send_all(app)
    assert other.exports.tables.verify(NAME, by="tester").different == ()
    assert installation.uuids() == wanted
    other.exports.delete(NAME)
    assert other.exports.find() == []
