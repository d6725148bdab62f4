"""Moves the streams of a server, as a process: ``python -m tidemill.api.stream``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.api import child, folders
from tidemill.api.child import Child
from tidemill.errors import TidemillError
from tidemill.settings import current

if TYPE_CHECKING:
    from tidemill.exports.stream.orders import Standing
    from tidemill.exports.stream.streaming import Streaming

_log = logging.getLogger(__name__)
#: How long what is on its way is waited for when the server stops. What is left is settled by the next one.
_STOP_SECONDS = 20.0
_BY = "tidemill serve"
#: How often is told how the streams stand: for at most so much of the time of a core.
_TELLS_EVERY_SECONDS, _TELLS_AT_MOST, _LONGEST_SECONDS = 2.0, 0.01, 30.0
#: A trouble is over when rows are sent again, or none was found for so long: what is tried again has none at first.
_OVER_SECONDS = 10.0


def main() -> None:
    """Entry point of the process."""
    from tidemill.app import App

    child.enter()
    with App(current().with_threads(1)) as app:
        streaming, stopping, lines = app.exports.streaming, threading.Event(), Lines()

        def move() -> None:
            try:
                streaming.run_all(_BY, stopping.is_set, lines.ended)
            except BaseException:  # noqa: BLE001 - whatever it is, this process is of no use any more
                _log.exception("streams are not moved any more")
                os._exit(1)  # another process takes the place of this one

        moving = threading.Thread(target=move)
        told = (streaming, Path(sys.argv[1]), lines, stopping)
        telling = threading.Thread(target=_keep_telling, args=told, daemon=True)
        moving.start()
        telling.start()
        child.ready()
        stopping.set()
        moving.join(_STOP_SECONDS)
        if moving.is_alive():
            streaming.stop_now()
            moving.join()
        telling.join(_STOP_SECONDS)


def _keep_telling(streaming: Streaming, file: Path, lines: Lines, stopping: threading.Event) -> None:
    while not stopping.is_set():
        began = time.thread_time()
        with contextlib.suppress(TidemillError, OSError):  # later, maybe
            standings = streaming.standings()
            lines.look(standings)
            tell(standings, file)
        took = time.thread_time() - began
        stopping.wait(min(max(_TELLS_EVERY_SECONDS, took / _TELLS_AT_MOST), _LONGEST_SECONDS))


def tell(standings: Sequence[Standing], file: Path) -> None:
    """Write down how streams stand, for who is asked for metrics. Whoever reads it meanwhile finds the one before."""
    said = json.dumps([dataclasses.asdict(one) for one in standings])
    fresh = file.with_suffix(".new")
    fresh.write_text(said)
    fresh.replace(file)


@dataclasses.dataclass
class _Trouble:
    text: str
    sent: int  # rows by then
    seen_at: float


class Lines:
    """The log's lines about streams: which are moved, and when a trouble begins, is another, or is over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: set[str] | None = None
        self._troubles: dict[str, _Trouble] = {}
        self._guard = threading.Lock()

    def look(self, standings: Sequence[Standing]) -> None:
        """How the streams stand now."""
        names = {one.name for one in standings}
        if fresh := sorted(names - (self._known or set())):
            _log.info("streams that are moved: %s", ", ".join(fresh))
        elif self._known is None:
            _log.info("there is no streaming export yet")
        self._known = names
        with self._guard:
            for one in standings:
                if one.trouble:
                    self._tell(one.name, one.trouble, one.sent)
                else:
                    self._is_over(one)

    def ended(self, name: str, error: TidemillError | None) -> None:
        """A stream has ended, or cannot go on for now; that may not be recorded, if the database is away."""
        if error is None:
            _log.info("stream %s has ended", name)
            return
        with self._guard:
            before = self._troubles.get(name)
            self._tell(name, f"{error.message} {error.hint}".strip(), before.sent if before else 0)

    def _tell(self, name: str, text: str, sent: int) -> None:
        before = self._troubles.get(name)
        if before is None or before.text != text:
            _log.error("stream %s is in trouble: %s", name, text)
        self._troubles[name] = _Trouble(text, sent, self._clock())

    def _is_over(self, one: Standing) -> None:
        before = self._troubles.get(one.name)
        if before and (one.sent > before.sent or self._clock() - before.seen_at > _OVER_SECONDS):
            del self._troubles[one.name]
            _log.info("stream %s goes on", one.name)


@contextlib.contextmanager
def streaming() -> Iterator[None]:
    """All streaming exports are moved, for the time of the block."""
    from tidemill.capture.metrics import STREAMS

    with folders.folder() as folder:
        file = folder / "streams.json"
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
