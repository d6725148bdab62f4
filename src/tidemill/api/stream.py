"""Moves the streams of a server, as a process: ``python -m tidemill.api.stream``."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

from tidemill.api import child
from tidemill.api.child import Child
from tidemill.errors import TidemillError
from tidemill.settings import current

_log = logging.getLogger(__name__)
#: How long what is on its way is waited for when the server stops. What is left is settled by the next one.
_STOP_SECONDS = 20.0
_BY = "tidemill serve"


def main() -> None:
    """Entry point of the process."""
    from tidemill.app import App

    child.enter()
    with App(current().with_threads(1)) as app:
        streaming, stopping = app.exports.streaming, threading.Event()

        def move() -> None:
            try:
                streaming.run_all(_BY, stopping.is_set, _said)
            except BaseException:  # noqa: BLE001 - whatever it is, this process is of no use any more
                _log.exception("streams are not moved any more")
                os._exit(1)  # another process takes the place of this one

        moving = threading.Thread(target=move)
        moving.start()
        child.ready()
        stopping.set()
        moving.join(_STOP_SECONDS)
        if moving.is_alive():
            streaming.stop_now()
            moving.join()


def _said(name: str, error: TidemillError | None) -> None:
    if error is None:
        _log.info("stream %s has ended", name)
    else:
        _log.error("stream %s: %s %s", name, error, error.hint)


@contextlib.contextmanager
def streaming() -> Iterator[None]:
    """All streaming exports are moved, for the time of the block."""
    streams = Child("stream process", "tidemill.api.stream")
    streams.start()
    try:
        yield
    finally:
        streams.stop()


if __name__ == "__main__":
    main()
