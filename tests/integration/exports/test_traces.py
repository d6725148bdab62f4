"""Traces of runs, as a collector gets them: one a run, whatever processes move it, and without anybody's values."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, kill_when, write_events
from tests.otlp_receiver import Receiver, receiving
from tests.schedules import load
from tests.streams import make_stream, send_all

from tidemill import tracing
from tidemill.app import App
from tidemill.errors import ConfigError, TidemillError

UPLOAD = "/upload/bigquery/"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """This process sends its traces there, for the time of a test."""
    tracing._provider.cache_clear()
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver
        _end()


def _end() -> None:
    provider = tracing._provider()
    if provider is not None:
        provider.shutdown()
    tracing._provider.cache_clear()


def make(app: App, installation: Installation, folder: Path, **fields: Any) -> None:
    write_events(folder / "events.jsonl", 50)
    app.events.load(str(folder / "events.jsonl"))
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events", **fields}, by="tester")


def test_a_run_is_a_trace_with_a_span_a_step_and_call(
    installation: Installation, tmp_path: Path, collector: Receiver
) -> None:
    with installation.app(chunk_bytes=4_000) as app:
        make(app, installation, tmp_path)
        installation.local.set_faults([{"path": UPLOAD, "method": "POST", "fault": "status", "status": 503}])
        (run,) = app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        app.exports.create(CONNECTION, {"name": "sent", "table": "sent", "delivery": "storage-write"}, by="tester")
        app.exports.run("sent", by="tester")
        tracing.close()
    (first,) = [span for span in collector.named("run") if span.trace == run.id.hex]
    assert (first.parent, first.status, first.service) == ("", 0, "tidemill")
    spans = [span for span in collector.spans if span.trace == run.id.hex]
    assert {span.attributes["tidemill.run"] for span in spans if span.parent == first.id} == {str(run.id)}
    steps = {span.name for span in spans if span.parent == first.id}
    assert {"prepare", "move", "complete"} == steps
    loads = {span.attributes["tidemill.chunk"]: span for span in spans if span.name == "move"}
    assert sorted(loads) == [chunk.number for chunk in run.chunks]
    for chunk in run.chunks:
        load = loads[chunk.number].attributes
        assert (load["tidemill.rows"], load["tidemill.job"]) == (chunk.rows, chunk.job_id)
        assert (load["tidemill.export"], load["tidemill.model"]) == ("daily", "events")
        (call,) = [span for span in spans if span.parent == loads[chunk.number].id and span.name == "load job"]
        assert (call.attributes["tidemill.job"], call.attributes["tidemill.rows"]) == (chunk.job_id, chunk.rows)
    assert any("again" in span.events for span in spans)
    sent = {span.name for span in collector.spans if span.trace != run.id.hex}
    assert {"send", "commit", "create_write_stream", "finalize_write_stream", "batch_commit_write_streams"} <= sent


def test_a_streams_run_is_a_trace_with_its_calls(
    installation: Installation, tmp_path: Path, collector: Receiver
) -> None:
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, 20)
        make_stream(app)
        send_all(app)
        (run,) = app.exports.runs.find("live", limit=5)
        tracing.close()
    (first,) = collector.named("run")
    assert (first.trace, first.attributes["tidemill.rows"]) == (run.id.hex, 20)
    assert first.attributes["tidemill.export"] == "live"
    assert {span.trace for span in collector.spans} == {run.id.hex}


def test_of_an_error_only_the_code_is_told(installation: Installation, tmp_path: Path, collector: Receiver) -> None:
    secret = "4711-ana@example.com"
    quoting = {"reason": "invalidQuery", "message": f"Bad value: {secret}"}
    with installation.app() as app:
        make(app, installation, tmp_path)
        installation.local.set_faults([{"path": UPLOAD, "method": "PUT", "fault": "job_error", **quoting}])
        with pytest.raises(TidemillError, match=secret):
            app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        app.exports.run("daily", by="tester")
        tracing.close()
    first, second = collector.named("run")
    assert (first.status, first.said, second.status) == (2, "query_invalid", 0)
    assert (first.trace, first.attributes["tidemill.attempt"]) == (second.trace, 1)
    assert first.id != second.id
    failed = [span for span in collector.spans if span.status == 2]
    assert {span.name for span in failed} == {"run", "move", "load job"}
    assert {span.attributes["error.type"] for span in failed} == {"query_invalid"}
    assert secret.encode() not in collector.raw
    key = installation.local.key("tidemill")["private_key"].split("\n")[1]
    assert key.encode() not in collector.raw


def test_what_two_processes_do_for_a_run_is_one_trace(
    installation: Installation, tmp_path: Path, collector: Receiver
) -> None:
    """The one that is killed never tells of the attempt itself: who goes on does."""
    with installation.app() as app:
        make(app, installation, tmp_path)
        installation.local.set_faults([{"path": UPLOAD, "fault": "delay_response", "seconds": 60.0, "times": 1}])
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

        def is_told() -> bool:
            return any(fault["fired"] for fault in installation.local.faults()) and bool(collector.named("prepare"))

        assert kill_when(installation.start("export", "run", "daily", **environment), is_told)
        installation.local.set_faults([])
        (run,) = app.exports.run("daily", by="tester")
        tracing.close()
    assert {span.trace for span in collector.spans} == {run.id.hex}
    (first,) = collector.named("run")
    assert {span.parent for span in collector.spans if span.name in {"move", "complete"}} == {first.id}


def test_without_a_word_of_it_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    run = uuid.uuid4()
    for environment in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ):
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        tracing._provider.cache_clear()
        tracing.assert_usable()
        with tracing.attempt(run, 1), tracing.step(run, 1, "load"), tracing.call("load job"):
            tracing.note(rows=1)
            tracing.event("again")
        assert tracing._provider() is None
    tracing._provider.cache_clear()


def test_what_is_wrong_is_said_before_anything_is_begun(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing._provider.cache_clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with installation.app() as app:
        make(app, installation, tmp_path)
        monkeypatch.setattr(tracing, "_NEEDED", ("no_such_package.of_it",))
        with pytest.raises(ConfigError, match="not installed") as missing:
            app.exports.run("daily", by="tester")
        assert "tidemill[otel]" in missing.value.hint
        monkeypatch.undo()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        with pytest.raises(ConfigError, match="grpc") as unknown:
            app.exports.run("daily", by="tester")
        assert "http/protobuf" in unknown.value.hint
        assert app.exports.runs.find("daily", limit=1) == []
    tracing._provider.cache_clear()


def test_a_collector_that_is_away_stops_nobody(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing._provider.cache_clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with installation.app() as app:
        make(app, installation, tmp_path)
        (run,) = app.exports.run("daily", by="tester")
        assert run.status == "completed"
    _end()
