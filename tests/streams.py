"""Streams in tests: an export that is streamed, and its stream moved in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.installation import CONNECTION

from tidemill.app import App
from tidemill.exports.stream.orders import Orders, Report, StreamProgress

NAME = "live"
#: For whatever a test waits for of a stream; a machine may be slow and busy.
LIMIT_SECONDS = 120.0


def make_stream(app: App, **fields: Any) -> None:
    """An export that is streamed; it waits for nothing."""
    given = {"name": NAME, "mode": "stream", "buffer_seconds": 0, **fields}
    app.exports.create(CONNECTION, given, by="tester")


def send_all(app: App, *, name: str = NAME, stopping: Callable[[], bool] = lambda: False) -> list[StreamProgress]:
    """Send all that there is. Gives what was told."""
    told: list[StreamProgress] = []
    app.exports.streaming.run(name, Orders("tester", patient=False, stopping=stopping, report=told.append))
    return told


def eventually(reached: Callable[[], object], what: str, ended: Sequence[BaseException] = ()) -> None:
    """Wait for that. It fails if it takes too long, or as soon as the stream has ended (see `streaming`)."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not reached():
        assert not ended, f"the stream ended, and this did not come: {what}: {ended[0]!r}"
        assert time.monotonic() < deadline, f"waited for {LIMIT_SECONDS:g} seconds in vain: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def streaming(app: App, report: Report = lambda _: None) -> Iterator[list[BaseException]]:
    """The stream is moved by a thread, for the time of the block. Gives what it ended with, if it ends before that."""
    stop, ended = threading.Event(), list[BaseException]()

    def move() -> None:
        try:
            app.exports.streaming.run(NAME, Orders("tester", patient=True, stopping=stop.is_set, report=report))
            assert stop.is_set(), "nobody told it to end"
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test is told
            ended.append(error)

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive(), "the stream does not end"


def caught_up(app: App, ended: Sequence[BaseException] = ()) -> None:
    """Wait until all is in the table."""
    eventually(lambda: not app.exports.get(NAME).waiting_rows, "all is in the table", ended)
