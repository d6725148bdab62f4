"""Moves the streams of a server, as a process: ``python -m tidemill.api.stream``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.api import child
from tidemill.api.child import Child
from tidemill.errors import TidemillError
from tidemill.settings import current

if TYPE_CHECKING:
    from tidemill.exports.stream.streaming import Streaming

_log = logging.getLogger(__name__)
#: How long what is on its way is waited for when the server stops. What is left is settled by the next one.
_STOP_SECONDS = 20.0
_BY = "tidemill serve"
#: How often is told how the streams stand: for at most so much of the time of a core.
_TELLS_EVERY_SECONDS, _TELLS_AT_MOST, _LONGEST_SECONDS = 2.0, 0.01, 30.0


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
        telling = threading.Thread(target=_keep_telling, args=(streaming, Path(sys.argv[1]), stopping), daemon=True)
        moving.start()
        telling.start()
        child.ready()
        stopping.set()
        moving.join(_STOP_SECONDS)
        if moving.is_alive():
            streaming.stop_now()
            moving.join()
        telling.join(_STOP_SECONDS)


def _keep_telling(streaming: Streaming, file: Path, stopping: threading.Event) -> None:
    while not stopping.is_set():
        began = time.thread_time()
        with contextlib.suppress(TidemillError, OSError):  # later, maybe
            tell(streaming, file)
        took = time.thread_time() - began
        stopping.wait(min(max(_TELLS_EVERY_SECONDS, took / _TELLS_AT_MOST), _LONGEST_SECONDS))


def tell(streaming: Streaming, file: Path) -> None:
    """Write down how all streams stand, for who is asked for metrics. Whoever reads it meanwhile finds the one before.

    Raises
    ------
    UnavailableError
        The database does not answer.
    """
    said = json.dumps([dataclasses.asdict(one) for one in streaming.standings()])
    fresh = file.with_suffix(".new")
    fresh.write_text(said)
    fresh.replace(file)


def _said(name: str, error: TidemillError | None) -> None:
    if error is None:
        _log.info("stream %s has ended", name)
    else:
        _log.error("stream %s: %s %s", name, error, error.hint)


@contextlib.contextmanager
def streaming() -> Iterator[None]:
    """All streaming exports are moved, for the time of the block."""
    from tidemill.capture.metrics import STREAMS

    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        file = Path(folder) / "streams.json"
        streams = Child("stream process", "tidemill.api.stream", [str(file)])
        os.environ[STREAMS] = str(file)
        streams.start()
        try:
            yield
        finally:
            streams.stop()
            del os.environ[STREAMS]


if __name__ == "__main__":
    main()
