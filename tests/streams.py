"""Streams in tests: an export that is streamed, and its stream moved in this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.installation import CONNECTION

from tidemill.app import App
from tidemill.errors import TidemillError
from tidemill.exports.stream.orders import Orders, StreamProgress

NAME = "live"


def make_stream(app: App, **fields: Any) -> None:
    """An export that is streamed; it waits for nothing."""
    given = {"name": NAME, "mode": "stream", "buffer_seconds": 0, **fields}
    app.exports.create(CONNECTION, given, by="tester")


def send_all(app: App, *, name: str = NAME, stopping: Callable[[], bool] = lambda: False) -> list[StreamProgress]:
    """Send all that there is. Gives what was told."""
    told: list[StreamProgress] = []
    app.exports.streaming.run(name, Orders("tester", patient=False, stopping=stopping, report=told.append))
    return told


@contextlib.contextmanager
def streaming(app: App) -> Iterator[list[TidemillError]]:
    """The stream is moved by a thread, for the time of the block. Gives what it ended with, in the end."""
    stop, ended = threading.Event(), list[TidemillError]()

    def move() -> None:
        orders = Orders("tester", patient=True, stopping=stop.is_set, report=lambda _: None)
        try:
            app.exports.streaming.run(NAME, orders)
        except TidemillError as error:
            ended.append(error)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


def caught_up(app: App) -> None:
    """Wait until all is in the table."""
    while app.exports.get(NAME).waiting_rows:
        pass
