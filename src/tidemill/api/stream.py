"""Moves the streams of a server, in its background process, and tells how they stand."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill import atomic
from tidemill.api import child
from tidemill.errors import TidemillError

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


class Streams:
    """The streams of a process, as they are moved."""

    def __init__(self, streaming: Streaming, file: Path, stopping: threading.Event) -> None:
        """`file`: where is told how they stand."""
        self._streaming, self._file, self._stopping, self._lines = streaming, file, stopping, Lines()
        self._moving = threading.Thread(target=child.vital(self._move), daemon=True)
        self._telling = threading.Thread(target=self._keep_telling, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._moving.start()
        self._telling.start()

    def join(self) -> None:
        """Wait until what is on its way is in, when it is to stop; not for ever."""
        self._moving.join(_STOP_SECONDS)
        if self._moving.is_alive():
            self._streaming.stop_now(runs=False)  # of others that run here
            self._moving.join(_STOP_SECONDS)
        self._telling.join(_STOP_SECONDS)

    def _move(self) -> None:
        self._streaming.run_all(_BY, self._stopping.is_set, self._lines.ended)

    def _keep_telling(self) -> None:
        while not self._stopping.is_set():
            began = time.thread_time()
            with contextlib.suppress(TidemillError, OSError):  # later, maybe
                standings = self._streaming.standings()
                self._lines.look(standings)
                tell(standings, self._file)
            took = time.thread_time() - began
            self._stopping.wait(min(max(_TELLS_EVERY_SECONDS, took / _TELLS_AT_MOST), _LONGEST_SECONDS))


def tell(standings: Sequence[Standing], file: Path) -> None:
    """Write down how streams stand, for who is asked for metrics. Whoever reads it meanwhile finds the one before."""
    said = json.dumps([dataclasses.asdict(one) for one in standings])
    atomic.write(file, said, synced=False)


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
