"""What `/metrics` tells of exports: read from the database when somebody asks, the same by whichever server."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tidemill.errors import TidemillError
from tidemill.exports import costs
from tidemill.schedules.exposition import COUNTER, GAUGE, SUMMARY, Family, Number, labels, seconds, written
from tidemill.settings import Settings
from tidemill.store.figures import Backlog, Figures, FiguresBook, Installation

#: Whoever asks again so soon is told the same.
_HOLDS_SECONDS = 5.0
#: Models whose rows are not events, and whose positions are no snapshots.
OF_PEOPLE = ("persons", "merge_ids")
#: A backlog that was measured longer ago is not told: whoever measures it is not there.
_MEASURED_WITHIN = dt.timedelta(seconds=90)
_OF_RUNS = "A counter of runs that are over, and of a stream."


@dataclasses.dataclass(frozen=True)
class _Told:
    """An export, and what is needed of all."""

    figures: Figures
    now: dt.datetime
    #: Events that wait, and since when the first of them does; None: it is not known.
    waiting: tuple[int, float] | None
    cost: float


def _one(name: str, kind: str, said: str, value: Callable[[_Told], Number]) -> Family[_Told]:
    return Family(f"tidemill_export_{name}", kind, said, {("", ""): value})


def _since(told: _Told) -> float:
    """How long ago something should have begun."""
    due = told.figures.due_since
    return max(0.0, round((told.now - due).total_seconds(), 3)) if due else 0.0


def _waits(told: _Told) -> float | None:
    if told.waiting is None:
        return None
    rows, since = told.waiting
    return max(0.0, round(told.now.timestamp() - since, 3)) if rows else 0.0


_FAMILIES: tuple[Family[_Told], ...] = (
    Family(
        "tidemill_export_runs_total",
        COUNTER,
        "Runs that are over, by how they ended; one that was gone on with counts each time. A counter.",
        {
            ("", 'state="completed"'): lambda t: t.figures.completed,
            ("", 'state="failed"'): lambda t: t.figures.failed,
            ("", 'state="cancelled"'): lambda t: t.figures.cancelled,
        },
    ),
    _one("runs_running", GAUGE, "Runs that are not over.", lambda t: t.figures.running),
    _one("rows_total", COUNTER, f"Rows that are in the table. {_OF_RUNS}", lambda t: t.figures.rows),
    _one("bytes_total", COUNTER, f"Bytes that were sent to BigQuery. {_OF_RUNS}", lambda t: t.figures.bytes),
    _one("rejected_rows_total", COUNTER, f"Rows that were set aside. {_OF_RUNS}", lambda t: t.figures.rejected),
    _one(
        "billed_bytes_total", COUNTER, "Bytes that BigQuery bills for statements of runs that were completed, and of "
        "verifications.", lambda t: t.figures.billed_bytes,
    ),
    _one("cost_estimate_dollars_total", COUNTER, "{costs}", lambda t: t.cost),
    Family(
        "tidemill_export_run_duration_seconds",
        SUMMARY,
        "Time from the beginning to the end of runs that were completed.",
        {("_sum", ""): lambda t: round(t.figures.seconds, 3), ("_count", ""): lambda t: t.figures.completed},
    ),
    _one(
        "last_run_duration_seconds", GAUGE, "Of the newest run that is over, of what is new.",
        lambda t: t.figures.last_seconds,
    ),
    _one("last_run_rows", GAUGE, "Rows of the same run.", lambda t: t.figures.last_rows),
    _one("last_run_failed", GAUGE, "1 if the same run has failed.", lambda t: int(t.figures.last_failed)),
    _one(
        "last_run_timestamp_seconds", GAUGE, "When the same run ended.", lambda t: seconds(t.figures.last_finished_at)
    ),
    _one(
        "last_success_timestamp_seconds", GAUGE, "When a run was completed last; of a stream, when rows were sent.",
        lambda t: seconds(t.figures.last_completed_at),
    ),
    _one(
        "covered_timestamp_seconds", GAUGE, "All that was acknowledged before then is in the table. Not of a stream.",
        lambda t: seconds(t.figures.covered_until),
    ),
    _one(
        "lag_rows", GAUGE, "Events that were committed behind the export's position, before its filters. Measured by "
        "a worker; not of models of persons.", lambda t: t.waiting[0] if t.waiting else None,
    ),
    _one("lag_seconds", GAUGE, "How long the oldest of them has waited.", _waits),
    _one("queued_intervals", GAUGE, "Intervals that have ended, and whose run is not completed.",
         lambda t: t.figures.queued),
    _one("overdue_seconds", GAUGE, "For how long something should have begun that nobody has begun.", _since),
    _one("next_run_timestamp_seconds", GAUGE, "When the next interval ends, and its run begins, but for its jitter.",
         lambda t: None if t.figures.paused else seconds(t.figures.next_end)),
    _one("paused", GAUGE, "1 if it is paused.", lambda t: int(t.figures.paused)),
    _one("troubled", GAUGE, "1 if the first of these intervals has failed, and is tried again; or the stream stands "
         "still.", lambda t: int(t.figures.troubled)),
)  # fmt: skip


class ExportMetrics:
    """See the module. One a process; it may be asked by several threads."""

    def __init__(
        self,
        settings: Settings,
        book: FiguresBook,
        workers: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`workers`: how many there are, by how they stand."""
        self._settings, self._book, self._workers, self._clock = settings, book, workers, clock
        self._guard = threading.Lock()
        self._text, self._read_at = b"", -_HOLDS_SECONDS

    def text(self) -> bytes:
        """As Prometheus reads it. While the database is away, only that."""
        with self._guard:
            if self._clock() - self._read_at >= _HOLDS_SECONDS:
                began = self._clock()
                try:
                    found, workers = self._book.read(), self._workers()
                except TidemillError:
                    return "".join(_gauge("tidemill_database_up", _UP, {"": 0})).encode()
                lines = [*_of_exports(self._settings, found), *_of_all(found, workers)]
                lines += _gauge("tidemill_metrics_read_seconds", _TOOK, {"": round(self._clock() - began, 4)})
                self._text, self._read_at = "".join(lines).encode(), self._clock()
            return self._text


_UP = "1 if the metadata database answers."
_TOOK = "How long it took to read and write out what is told of exports and workers."


def _of_all(found: Installation, workers: Mapping[str, int]) -> Iterator[str]:
    yield from _gauge("tidemill_database_up", _UP, {"": 1})
    tasks = {f'state="{name}"': number for name, number in found.tasks.items()}
    yield from _gauge("tidemill_tasks", "Intervals in the queues of workers: taken, due, or to be tried later.", tasks)
    said = "Processes that move runs: alive, silent (for a minute), or gone with something left unfinished."
    yield from _gauge("tidemill_workers", said, {f'state="{name}"': number for name, number in workers.items()})


def _gauge(name: str, said: str, values: Mapping[str, Number]) -> Iterator[str]:
    yield f"# HELP {name} {said}\n# TYPE {name} gauge\n"
    for label, value in values.items():
        yield f"{name}{{{label}}} {value}\n" if label else f"{name} {value}\n"


def _of_exports(settings: Settings, found: Installation) -> Iterator[str]:
    waiting = _Waiting(found.backlog, found.now)
    told = [
        (
            _labels(one),
            _Told(one, found.now, waiting.of(one), costs.estimate(settings, one.billed_bytes, one.written_bytes)),
        )
        for one in found.exports
    ]
    yield from written(_FAMILIES, told, costs=f"What was billed, about. {costs.said(settings)}")


class _Waiting:
    """How many events wait for an export, by what was measured a moment ago."""

    def __init__(self, backlog: Backlog | None, now: dt.datetime) -> None:
        fresh = backlog is not None and now - backlog.measured_at <= _MEASURED_WITHIN
        self._backlog = backlog if fresh else None
        self._places: Sequence[int] = sorted(backlog.behind) if backlog and fresh else ()

    def of(self, figures: Figures) -> tuple[int, float] | None:
        """Of one that has gone on since: what waits at the next place of which it is known."""
        backlog = self._backlog
        if backlog is None or figures.model in OF_PEOPLE:
            return None
        if figures.position >= backlog.newest:
            return 0, 0.0
        found = bisect.bisect_left(self._places, figures.position)
        return backlog.behind[self._places[found]] if found < len(self._places) else (0, 0.0)


def _labels(one: Figures) -> str:
    return labels(export=one.name, connection=one.connection, model=one.model)
