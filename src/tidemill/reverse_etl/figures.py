"""What `/metrics` tells of syncs: read from the database when somebody asks, the same by whichever server."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence

from tidemill.errors import TidemillError
from tidemill.schedules.exposition import COUNTER, GAUGE, SUMMARY, Family, Number, labels, seconds, written
from tidemill.store.sync_totals import SyncFigures

#: Whoever asks again so soon is told the same.
_HOLDS_SECONDS = 5.0
_Told = tuple[SyncFigures, dt.datetime]
Read = Callable[[], tuple[dt.datetime, list[SyncFigures]]]


def _one(name: str, kind: str, said: str, value: Callable[[SyncFigures], Number]) -> Family[_Told]:
    return Family(f"tidemill_sync_{name}", kind, said, {("", ""): lambda told: value(told[0])})


def _overdue(told: _Told) -> float:
    """How long ago a run should have begun."""
    one, now = told
    if one.paused or one.taken or one.running or one.next_at is None:
        return 0.0
    return max(0.0, round((now - one.next_at).total_seconds(), 3))


_FAMILIES: tuple[Family[_Told], ...] = (
    Family(
        "tidemill_sync_runs_total",
        COUNTER,
        "Runs that are over, by how they ended; skipped: no table of the model had changed. A counter.",
        {
            ("", 'state="completed"'): lambda t: t[0].completed,
            ("", 'state="skipped"'): lambda t: t[0].skipped,
            ("", 'state="failed"'): lambda t: t[0].failed,
            ("", 'state="cancelled"'): lambda t: t[0].cancelled,
        },
    ),
    _one("runs_running", GAUGE, "1 if a run is not over.", lambda f: int(f.running)),
    Family(
        "tidemill_sync_rows_total",
        COUNTER,
        "Rows by what became of them in a run: one that is refused or to be tried again counts in each. A counter.",
        {
            ("", 'outcome="written"'): lambda t: t[0].written,
            ("", 'outcome="rejected"'): lambda t: t[0].rejected,
            ("", 'outcome="retry"'): lambda t: t[0].to_retry,
        },
    ),
    _one("billed_bytes_total", COUNTER, "Bytes that BigQuery bills for runs.", lambda f: f.billed_bytes),
    Family(
        "tidemill_sync_run_duration_seconds",
        SUMMARY,
        "Time from the beginning to the end of runs that were completed.",
        {("_sum", ""): lambda t: round(t[0].seconds, 3), ("_count", ""): lambda t: t[0].completed},
    ),
    _one(
        "last_run_duration_seconds", GAUGE, "Of the newest run that is over, and had something to do.",
        lambda f: f.last_seconds,
    ),
    _one("last_run_failed", GAUGE, "1 if the same run has failed.", lambda f: int(f.last_status == "failed")),
    _one("last_run_timestamp_seconds", GAUGE, "When the same run ended.", lambda f: seconds(f.last_finished_at)),
    _one(
        "last_success_timestamp_seconds", GAUGE, "When a run was completed last, or skipped.",
        lambda f: seconds(f.last_success_at),
    ),
    _one(
        "rows_to_retry", GAUGE, "Rows that the last complete run did not get across: the next one tries them again.",
        lambda f: f.last_rows_left,
    ),
    Family(
        "tidemill_sync_overdue_seconds", GAUGE, "For how long a run should have begun that nobody has begun.",
        {("", ""): _overdue},
    ),
    _one(
        "next_run_timestamp_seconds", GAUGE, "When the next run is due. Not of one that is paused, or run by hand.",
        lambda f: None if f.paused else seconds(f.next_at),
    ),
    _one("paused", GAUGE, "1 if it is paused.", lambda f: int(f.paused)),
)  # fmt: skip


class SyncMetrics:
    """See the module. One a process; it may be asked by several threads."""

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        """`read`: how all syncs stand, and the time."""
        self._read, self._clock = read, clock
        self._guard = threading.Lock()
        self._text, self._read_at = b"", -_HOLDS_SECONDS

    def text(self) -> bytes:
        """As Prometheus reads it; nothing if there are no syncs, or while the database is away."""
        with self._guard:
            if self._clock() - self._read_at >= _HOLDS_SECONDS:
                try:
                    now, found = self._read()
                except TidemillError:
                    return b""
                self._text, self._read_at = text_of(now, found).encode(), self._clock()
            return self._text


def text_of(now: dt.datetime, found: Sequence[SyncFigures]) -> str:
    """What is told of these syncs."""
    told = [(labels(sync=one.name, model=one.model, destination=one.destination), (one, now)) for one in found]
    return "".join(written(_FAMILIES, told)) if told else ""
