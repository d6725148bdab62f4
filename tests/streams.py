"""Streams in tests: an export that is streamed, and its stream moved in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.installation import CONNECTION

from tidemill.app import App
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
