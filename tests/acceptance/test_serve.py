"""`tidemill serve` is told to stop while it is sent events: it loses none that it acknowledged."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import uuid

from tests.capture_server import CaptureServer, until

from tidemill.app import App

SENDERS, ACKNOWLEDGED = 8, 200


class Client(threading.Thread):
    """Sends an event at a time, and remembers which ones were acknowledged, until the server is gone."""

    def __init__(self, server: CaptureServer, key: str) -> None:
        super().__init__(daemon=True)
        self._port, self._key = server.port, key
        self.acknowledged: list[str] = []
        self.refused: list[int] = []

    def run(self) -> None:
        """See the class."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                self._send(connection, str(uuid.uuid4()))

    def _send(self, connection: http.client.HTTPConnection, name: str) -> None:
        event = {"event": "told", "distinct_id": "somebody", "uuid": name}
        connection.request("POST", "/i/v0/e/", json.dumps({"api_key": self._key, **event}))
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            self.acknowledged.append(name)
        else:
            self.refused.append(answer.status)


def send_until_stopped(server: CaptureServer) -> None:
    """Stop it in the middle of traffic."""
    key = server.key(1)
    clients = [Client(server, key) for _ in range(SENDERS)]
    for client in clients:
        client.start()
    until(lambda: sum(len(client.acknowledged) for client in clients) >= ACKNOWLEDGED, "events are acknowledged")
    assert server.stop() == 0, server.log.read_text()
    until(lambda: not any(client.is_alive() for client in clients), "the clients have noticed")
    acknowledged = {name for client in clients for name in client.acknowledged}
    stored = [row["uuid"] for row in server.rows(1)]
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))
    assert {status for client in clients for status in client.refused} <= {503}


def test_a_writer_that_is_killed_is_replaced_and_nothing_that_was_acknowledged_is_lost(capture: CaptureServer) -> None:
    key = capture.key(1)
    clients = [Client(capture, key) for _ in range(SENDERS)]
    for client in clients:
        client.start()

    def acknowledged() -> int:
        return sum(len(client.acknowledged) for client in clients)

    for _ in range(4):
        wanted = acknowledged() + ACKNOWLEDGED
        until(lambda: acknowledged() >= wanted, "events are acknowledged")  # noqa: B023 - it is asked right here
        capture.writer().kill()
    wanted = acknowledged() + ACKNOWLEDGED
    until(lambda: acknowledged() >= wanted, "events are acknowledged after that")
    assert capture.stop() == 0, capture.log.read_text()
    until(lambda: not any(client.is_alive() for client in clients), "the clients have noticed")
    stored = [row["uuid"] for row in capture.rows(1)]
    assert {name for client in clients for name in client.acknowledged} <= set(stored)
    assert len(stored) == len(set(stored))
    assert {status for client in clients for status in client.refused} <= {503}


def test_a_server_whose_first_process_is_killed_leaves_no_writer(capture: CaptureServer) -> None:
    writer = capture.writer()
    assert capture.process is not None
    capture.process.kill()
    capture.process.wait()
    until(lambda: not writer.is_running(), "the writer is gone")
    capture.start()


def test_a_server_that_is_stopped_loses_nothing_that_it_acknowledged(capture: CaptureServer) -> None:
    send_until_stopped(capture)


def test_nor_do_two_workers(capture_of_two: CaptureServer) -> None:
    send_until_stopped(capture_of_two)


def test_a_database_that_is_killed_is_started_again(capture: CaptureServer) -> None:
    key = capture.key(1)
    client = Client(capture, key)
    client.start()
    until(lambda: len(client.acknowledged) >= 5, "events are acknowledged")
    pid = int((capture.app.settings.home_path / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    known = len(client.acknowledged)
    until(lambda: len(client.acknowledged) >= known + 50, "events are acknowledged again")
    until(capture.is_ready, "it is ready")
    assert capture.stop() == 0, capture.log.read_text()
    client.join()
    assert set(client.refused) <= {503}
    with App(capture.app.settings) as app:
        stored = [name for (name,) in _stored(app)]
    assert set(client.acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def _stored(app: App) -> list[tuple[str]]:
    with app.lake.cursor() as cursor:
        return cursor.execute("SELECT uuid FROM lake.events").fetchall()
