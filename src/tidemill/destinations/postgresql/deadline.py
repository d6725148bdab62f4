"""A deadline of our own for a session. `statement_timeout` is the server's, which may be what does not answer."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg


class Deadline:
    """`passed`: the session was ended because of it."""

    def __init__(self) -> None:
        self.passed = False

    def _end(self, way: socket.socket) -> None:
        self.passed = True
        with contextlib.suppress(OSError):  # it is over already
            way.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def within(session: psycopg.Connection[Any], seconds: float) -> Iterator[Deadline]:
    """For the time of the block: after so many seconds the session's socket is shut, so that who waits for an answer
    has an error of a lost connection."""
    deadline = Deadline()
    # A descriptor of our own: that of the session may be closed, and be another's by then.
    with socket.socket(fileno=os.dup(session.fileno())) as way:
        timer = threading.Timer(seconds, deadline._end, [way])
        timer.daemon = True
        timer.start()
        try:
            yield deadline
        finally:
            timer.cancel()
