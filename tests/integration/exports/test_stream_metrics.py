"""What `/metrics` of `tidemill serve` tells of streams."""

from __future__ import annotations

import json
import os
import time
import urllib.request
import uuid
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.capture_server import CaptureServer, until
from tests.installation import Installation, write_events
from tests.streams import NAME, make_stream, send_all

from tidemill.api.stream import tell
from tidemill.capture.metrics import STREAMS, Metrics


def found(text: str, export: str = NAME) -> dict[str, float]:
    """What is told of a stream, by the rest of its name."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    chosen = [one for one in samples if one.name.startswith("tidemill_stream_") and one.labels["export"] == export]
    return {one.name.removeprefix("tidemill_stream_"): one.value for one in chosen}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In which it is told how streams stand."""
    monkeypatch.setenv(STREAMS, str(tmp_path / "streams.json"))
    return tmp_path / "streams.json"


def test_what_waits_is_told(installation: Installation, tmp_path: Path, file: Path) -> None:
    """By the name that the export has now; also if nobody moves it."""
    with installation.app() as app:
        write_events(tmp_path / "a.jsonl", 30)
        app.events.load(str(tmp_path / "a.jsonl"))
        installation.connect(app)
        make_stream(app)
        metrics = Metrics()
        assert found(metrics.text().decode()) == {}
        tell(app.exports.streaming.standings(), file)
        first = found(metrics.text().decode())
        assert first["lag_rows"] == 30
        assert first["lag_seconds"] > 0
        assert found(metrics.text().decode())["lag_seconds"] > first["lag_seconds"]
        app.exports.edit(NAME, {"name": "other"})
        send_all(app, name="other")
        tell(app.exports.streaming.standings(), file)
        assert found(metrics.text().decode()) == {}
        told = {"lag_rows": 0, "lag_seconds": 0, "rows_total": 0, "set_aside_total": 0}
        assert found(metrics.text().decode(), "other") == told  # it was not run_all that moved it


def test_what_is_old_is_not_told(file: Path) -> None:
    """Nobody knows how the streams stand by now."""
    file.write_text(json.dumps([{"name": NAME, "waiting": 7, "since": None, "sent": 1, "set_aside": 0}]))
    assert found(Metrics().text().decode())["lag_rows"] == 7
    long_ago = time.time() - 3600
    os.utime(file, (long_ago, long_ago))
    assert found(Metrics().text().decode()) == {}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_counts_what_its_streams_send(installation: Installation, tmp_path: Path, workers: str) -> None:
    """And what is set aside; whichever of its processes is asked."""
    with installation.app() as app:
        installation.connect(app)
        make_stream(app)
        server = CaptureServer(app, tmp_path / "server.log", words=("--workers", workers))
        server.start()
        try:
            times = ["2001-01-01T00:00:00Z", *[time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())] * 20]
            common = {"event": "seen", "distinct_id": "u", "properties": {}}
            batch = [{**common, "uuid": str(uuid.uuid4()), "timestamp": moment} for moment in times]
            body = json.dumps({"api_key": server.key(1), "batch": batch}).encode()
            with urllib.request.urlopen(f"{server.url}/batch/", body, timeout=120) as answer:  # noqa: S310
                assert answer.status == 200

            def told() -> dict[str, float]:
                with urllib.request.urlopen(f"{server.url}/metrics", timeout=120) as answer:  # noqa: S310
                    return found(answer.read().decode())

            wanted = {"lag_rows": 0, "lag_seconds": 0, "rows_total": 20, "set_aside_total": 1}
            until(lambda: told() == wanted, f"all is counted; see {server.log}")
            assert server.stop() == 0, server.log.read_text()
        finally:
            server.kill()
