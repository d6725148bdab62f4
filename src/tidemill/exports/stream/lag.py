"""How far behind an export is, and what is told of a stream while it is moved."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import math
import threading
import time
from collections.abc import Iterator

from tidemill.errors import TidemillError
from tidemill.exports.stream.journal import Place
from tidemill.exports.stream.orders import Report, Sent, StreamProgress
from tidemill.exports.work import Parts
from tidemill.store.records import Export
from tidemill.store.streams import WHOLE

#: How often is looked how much waits: for at most so much of the time of a core, for a ledger of months is long.
_LOOKS_EVERY_SECONDS, _LOOKS_AT_MOST, _LONGEST_SECONDS = 1.0, 0.01, 30.0


@dataclasses.dataclass(frozen=True)
class Lag:
    """`rows`: that wait; `since`: when the first of them was committed. None for merge ids and persons: a change to
    them is of several commits.
    """

    rows: int = 0
    since: dt.datetime | None = None

    @property
    def seconds(self) -> float:
        """How long the first of them has waited."""
        return max(0.0, time.time() - self.since.timestamp()) if self.since and self.rows else 0.0


def measured(parts: Parts, export: Export, after: int) -> Lag:
    """What was committed after a change. It is asked of the ledger, which knows no filters: events that are left out
    wait like others, until they were read.
    """
    source = parts.source(export)
    upto = source.position()
    if upto <= after:
        return Lag()
    changes = parts.lake.commits if source.timed else source.changes
    found = changes(after, upto, math.inf)
    return Lag(sum(commit.rows for commit in found), found[0].since) if found else Lag()


class Progress:
    """Of one stream, whoever moves it in turn: nothing begins anew with the next one."""

    def __init__(self, parts: Parts, export: Export, report: Report = lambda _: None) -> None:
        """`report` is called by who moves the stream and, within `watched`, by a thread; never by both at a time."""
        self._parts, self._export, self._report = parts, export, report
        self._guard = threading.Lock()
        self._lag: Lag | None = None
        self._before = self._sent = Sent()
        #: The change up to which all is in, and the rows that were sent by then: now, and when the lag was measured.
        self._whole = self._measured = (export.position, 0)
        self._trouble, self._moves = "", False

    @property
    def sent(self) -> Sent:
        """In all."""
        return self._sent

    def begin(self) -> None:
        """Another one moves it, who counts from zero."""
        self._before = self._sent

    def tell(self, place: Place, sent: Sent, trouble: str) -> None:
        """Called by who moves it, many times a second. `sent`: since it began."""
        with self._guard:
            self._sent, self._trouble, self._moves = self._before + sent, trouble, True
            if place[1] == WHOLE:
                self._whole = place[0], self._sent.rows
            self._say()

    def end(self, sent: Sent) -> None:
        """It is not moved any more, by this one."""
        with self._guard:
            self._sent, self._moves = self._before + sent, False

    def tell_trouble(self, error: TidemillError) -> None:
        """It stands still."""
        with self._guard:
            self._trouble = error.message
            self._say()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """How much waits is looked for and told about each second, whatever who moves the stream waits for."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), name="tidemill-stream-lag", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        self._look()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.is_set():
            began = time.thread_time()
            self._look()
            took = time.thread_time() - began
            ended.wait(min(max(_LOOKS_EVERY_SECONDS, took / _LOOKS_AT_MOST), _LONGEST_SECONDS))

    def _look(self) -> None:
        self._measure()
        with self._guard:
            self._lag = self._lag or Lag()  # nobody knows, if the database does not answer
            self._say()

    def _measure(self) -> None:
        """Look how much waits, if the database answers; else what was known last holds on."""
        with contextlib.suppress(TidemillError):
            whole = self._whole
            if not self._moves:  # another process may have been there, or a run
                whole = self._newer(whole)
            lag = measured(self._parts, self._export, whole[0])
            with self._guard:
                self._lag, self._measured = lag, whole

    def _newer(self, whole: tuple[int, int]) -> tuple[int, int]:
        """Where the export is by what is written down, if that is further."""
        position = self._parts.exports.by_id(self._export.id).position
        return (position, self._sent.rows) if position > whole[0] else whole

    def _say(self) -> None:
        if self._lag is None:  # it was not looked yet
            return
        waiting = max(0, self._lag.rows - (self._sent.rows - self._measured[1]))
        seconds = dataclasses.replace(self._lag, rows=waiting).seconds
        self._report(StreamProgress(self._sent.rows, self._sent.bytes, waiting, seconds, self._trouble))
