"""`tidemill serve` takes events and moves streams: they roll into BigQuery as they happen."""

from __future__ import annotations

import contextlib
import json
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.capture_server import CaptureServer, until
from tests.installation import Installation
from tests.streams import NAME, make_stream

from tidemill.app import App
from tidemill.bigquery import grants


@pytest.fixture
def served(installation: Installation, tmp_path: Path) -> Iterator[tuple[CaptureServer, App]]:
    """A server, with a stream of an account that has five permissions."""
    with installation.app() as app:
        installation.connect(app, account="streamer", allow=list(grants.STREAMING_EXPORT))
        make_stream(app)
        server = CaptureServer(app, tmp_path / "server.log")
        server.start()
        yield server, app
        server.kill()


def send(server: CaptureServer, key: str, count: int = 20) -> list[str]:
    """Send events, which are acknowledged."""
    names = [str(uuid.uuid4()) for _ in range(count)]
    batch = [{"event": "seen", "distinct_id": "u", "uuid": name, "properties": {}} for name in names]
    body = json.dumps({"api_key": key, "batch": batch}).encode()
    with urllib.request.urlopen(f"{server.url}/batch/", body, timeout=120) as answer:  # noqa: S310
        assert answer.status == 200
    return names


def stream_process(server: CaptureServer) -> psutil.Process | None:
    """The process that moves streams, if there is one."""
    assert server.process is not None
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(server.process.pid).children():
            if "tidemill.api.background" in " ".join(child.cmdline()):
                return child
    return None


def in_table(installation: Installation, wanted: list[str]) -> bool:
    """Whether these are there; once it is there, the table is looked at."""
    client = installation.client()
    try:
        if client.get_table(installation.dataset, "events") is None:
            return False
    finally:
        client.close()
    return installation.uuids() == sorted(wanted)


def test_events_are_in_the_table_soon_after_they_were_sent(
    installation: Installation, served: tuple[CaptureServer, App]
) -> None:
    """Also after the process that moves streams was killed, or the server stopped and begun again."""
    server, app = served
    key = server.key(1)
    wanted = send(server, key)
    until(lambda: in_table(installation, wanted), "the events are in the table")
    before = stream_process(server)
    assert before is not None
    wanted += send(server, key)
    before.kill()
    until(lambda: (now := stream_process(server)) is not None and now.pid != before.pid, "another one has begun")
    wanted += send(server, key)
    until(lambda: in_table(installation, wanted), "the events are in the table")
    wanted += send(server, key)
    assert server.stop() == 0, server.log.read_text()
    server.start()
    wanted += send(server, key)
    until(lambda: in_table(installation, wanted), "the events are in the table")
    assert app.exports.get(NAME).trouble is None
    assert server.stop() == 0, server.log.read_text()


def test_a_stream_that_is_made_later_is_moved_too_and_one_in_trouble_is_told(
    installation: Installation, served: tuple[CaptureServer, App]
) -> None:
    """Without a new start of the server."""
    server, app = served
    key = server.key(1)
    make_stream(app, name="later", table="later")
    wanted = send(server, key)
    installation.local.key("streamer", allow=["bigquery.datasets.get"])
    make_stream(app, name="denied", table="denied")
    until(lambda: app.exports.get("denied").trouble, "the trouble is told")
    assert "bigquery.tables" in str(app.exports.get("denied").trouble)
    installation.local.key("streamer", allow=list(grants.STREAMING_EXPORT))
    until(lambda: in_table(installation, wanted), "the events are in the table")
    assert server.stop() == 0, server.log.read_text()
    assert "private_key" not in server.log.read_text()
