"""What seldom happens to a stream: connections that end while nothing comes, doubt about rows that were refused, quiet
that is asked for at the last moment, and datasets that are not there."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, write_events
from tests.integration.exports.test_stream import odd
from tests.integration.exports.test_stream_faults import APPEND, FINALIZE, LOST, SMALL, Cut, fault, start
from tests.streams import LIMIT_SECONDS, NAME, caught_up, eventually, make_stream, send_all, streaming

from tidemill.bigquery import grants
from tidemill.bigquery.client import Client
from tidemill.bigquery.write_connection import Connection
from tidemill.errors import NotFoundError
from tidemill.exports.stream.journal import Journal
from tidemill.store.streams import StreamHeldError, Streams, quiet


def test_a_connection_that_ends_while_nothing_comes_is_no_doubt(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the write stream is forgotten then: nothing was sent on it, and five permissions are enough."""
    made: list[Any] = []
    original = Connection.__init__

    def init(self: Connection, *arguments: Any, **more: Any) -> None:
        original(self, *arguments, **more)
        made.append(self)

    monkeypatch.setattr(Connection, "__init__", init)
    with installation.app(**SMALL) as app, installation.app(**SMALL) as other:
        wanted = start(installation, app, tmp_path, account="streamer", allow=list(grants.STREAMING_EXPORT))
        with streaming(app) as ended:
            caught_up(other, ended)
            made[-1]._call.cancel()  # as BigQuery ends an idle connection
            eventually(lambda: made[-1].is_over, "the connection is over", ended)
            installation.local.set_faults([fault(APPEND, "expire_stream")])
            wanted += write_events(tmp_path / "b.jsonl", 100, first=1000)
            other.events.load(str(tmp_path / "b.jsonl"))
            caught_up(other, ended)
        assert not ended
        assert installation.uuids() == sorted(wanted)


@pytest.mark.parametrize("refused", [True, False])
def test_a_doubt_is_about_rows_that_were_sent(
    installation: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: bool,
) -> None:
    """Not about the last of a commit, if that was set aside: by BigQuery, or because it is too large."""
    with installation.app(max_row_bytes=1_000_000 if refused else 20_000) as app:
        wanted = write_events(tmp_path / "a.jsonl", 50)
        odd(tmp_path / "last.jsonl", 1, timestamp="2001-01-01T00:00:00Z", properties={"text": "x" * 30_000})
        (tmp_path / "all.jsonl").write_text((tmp_path / "a.jsonl").read_text() + (tmp_path / "last.jsonl").read_text())
        app.events.load(str(tmp_path / "all.jsonl"))
        installation.connect(app)
        make_stream(app)
        original = Connection.send
        sent = 0

        def send(self: Connection, *arguments: Any) -> Any:
            nonlocal sent
            sent += 1
            answer = original(self, *arguments)
            if sent > int(refused):
                answer.result(60)  # it is in, and nobody will know
                raise Cut
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(Connection, "send", send)
            with pytest.raises(Cut):
                send_all(app)
        installation.local.set_faults([fault(FINALIZE, "expire_stream")])
        send_all(app)
        assert installation.uuids() == wanted
        assert len(app.exports.set_aside.find(NAME)) == 1


def test_what_may_come_late_takes_no_place_of_another_row(installation: Installation, tmp_path: Path) -> None:
    """Rows behind a refused one move up. If it is not known what became of them, they do so on another write stream."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        odd(tmp_path / "old.jsonl", 1, timestamp="2001-01-01T00:00:00Z")
        app.events.load(str(tmp_path / "old.jsonl"))
        wanted += write_events(tmp_path / "more.jsonl", 1000, first=1000)
        app.events.load(str(tmp_path / "more.jsonl"))
        # The ninth is answered when many are on their way; the eleventh is refused; the thirteenth has no answer.
        installation.local.set_faults([fault(APPEND, "delay_response", nth=9, seconds=2), fault(APPEND, "cut", nth=12)])
        send_all(app)
        assert installation.uuids() == sorted(wanted)
        assert len(app.exports.set_aside.find(NAME)) == 1
        place = f"/datasets/{installation.dataset}/"
        made = [line for line in installation.local.requests() if "CreateWriteStream" in line["path"]]
        assert len([line for line in made if place in json.dumps(line["body"])]) == 2


def test_merge_ids_in_doubt_are_asked_for(installation: Installation, tmp_path: Path) -> None:
    """Their key is a number."""
    lines: list[dict[str, Any]] = []
    for number in range(20):
        for event, name, more in (("a", f"a{number}", ""), ("b", f"b{number}", ""), ("$identify", f"b{number}", "x")):
            fields = {"$anon_distinct_id": f"a{number}"} if more else {}
            lines.append({"uuid": f"{len(lines):032x}", "event": event, "distinct_id": name, "properties": fields})
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{_json(line)}\n" for line in lines))
    with installation.app(commit_rows=10, stream_window_bytes=1000) as app:
        app.events.load(str(path), team_id=1)
        installation.connect(app)
        make_stream(app, model="merge_ids", team_id=1)
        installation.local.set_faults([fault(APPEND, **LOST), fault(APPEND, "expire_stream", nth=2)])
        send_all(app)
        installation.local.set_faults([])
        assert len(installation.rows("MERGE_IDS_1")) == 20
        assert app.exports.tables.verify(NAME, by="tester").different == ()


def _json(line: dict[str, Any]) -> str:
    return json.dumps({**line, "timestamp": "2026-01-01T00:00:00Z"})


def test_nothing_begins_once_quiet_is_asked_for(installation: Installation, tmp_path: Path) -> None:
    """Not even what has looked a moment before."""
    with installation.app(**SMALL) as app:
        start(installation, app, tmp_path)
        exports: Any = app.exports
        export = exports._exports.get(NAME)
        streams = Streams(app.database)
        journal = Journal(streams, export)
        with exports._made.parts.lock(quiet(export.id)):
            assert streams.held(export.id)
            with pytest.raises(StreamHeldError):
                journal.begin_run(spec=export.spec, created_by="tester", attempt=1)
            streams.count_quiet(export.id)
        assert not streams.held(export.id)
        with pytest.raises(StreamHeldError):  # what was read before may be what somebody has deleted
            journal.begin_run(spec=export.spec, created_by="tester", attempt=1)
        journal.begin_reading()
        journal.begin_run(spec=export.spec, created_by="tester", attempt=1)


@pytest.mark.parametrize("error", [NotFoundError("dataset_not_found", "There is none."), ZeroDivisionError("a bug")])
def test_a_stream_that_cannot_go_on_is_told_and_tried_again_later(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Others go on."""
    tries = 0

    def locate(*_: Any) -> None:
        nonlocal tries
        tries += 1
        raise error

    with installation.app(**SMALL) as app:
        start(installation, app, tmp_path)
        monkeypatch.setattr(Client, "locate", locate)
        stop, said = threading.Event(), list[tuple[Any, ...]]()
        moving = threading.Thread(
            target=app.exports.streaming.run_all,
            args=("tester", stop.is_set, lambda *told: said.append(told)),
            daemon=True,
        )
        moving.start()
        try:
            eventually(lambda: said, "it is told")
            assert app.exports.get(NAME).trouble
        finally:
            stop.set()
            moving.join(LIMIT_SECONDS)
        assert not moving.is_alive()
        assert said[0][0] == NAME
        assert tries == 1
