"""What this process knows of the runs that it moves: whom to tell, whether to stop, and their BigQuery clients."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from tidemill.bigquery.client import Client
from tidemill.errors import Cancelled
from tidemill.exports.views import RunProgress
from tidemill.store.records import Export
from tidemill.store.runs import Runs

Report = Callable[[RunProgress], None]
_ASK_EVERY_SECONDS = 0.5


def untold(_: object) -> None:
    """Nobody is told."""


@dataclasses.dataclass
class _Watch:
    report: Report = untold
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    asked_at: float = 0.0
    sent: dict[int, int] = dataclasses.field(default_factory=dict)
    client: Client | None = None
    guard: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class Watches:
    """One watch for each run that this process moves."""

    def __init__(self, runs: Runs, client_for: Callable[[Export], Client]) -> None:
        self._runs = runs
        self._client_for = client_for
        self._watches: dict[uuid.UUID, _Watch] = collections.defaultdict(_Watch)
        self._moved: set[uuid.UUID] = set()
        self._interrupted = threading.Event()

    @contextlib.contextmanager
    def watching(self, run_id: uuid.UUID, report: Report) -> Iterator[None]:
        """Tell `report` how far the run is, for the time of the block; forget the run then."""
        self._watches[run_id].report = report
        self._moved.add(run_id)
        try:
            yield
        finally:
            self._moved.discard(run_id)
            watch = self._watches.pop(run_id)
            if watch.client:
                watch.client.close()

    def is_watched(self, run_id: uuid.UUID) -> bool:
        """Whether this process moves the run."""
        return run_id in self._moved  # a chunk that is not over yet may have made a watch of the run anew

    def ready(self) -> None:
        """Something new is begun: an interrupt from before does not stop it."""
        self._interrupted.clear()

    @property
    def interrupted(self) -> bool:
        """Whether all of them were cancelled."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Cancel all of them, and what is about to begin."""
        self._interrupted.set()
        for watch in list(self._watches.values()):
            watch.stop.set()

    @contextlib.contextmanager
    def planning(self, export: Export) -> Iterator[Client]:
        """A client for the time of the block, while there is no run yet."""
        client = self._client_for(export)
        client.cancelled = self._interrupted.is_set
        try:
            yield client
        finally:
            client.close()

    def client(self, run_id: uuid.UUID, export: Export) -> Client:
        """The run's client; it knows where the dataset is, and stops waiting when the run is cancelled."""
        watch = self._watches[run_id]
        with watch.guard:
            if watch.client is None:
                client = self._client_for(export)
                client.cancelled = lambda: self.cancelled(run_id)
                client.locate(export.dataset)
                watch.client = client
            return watch.client

    def cancelled(self, run_id: uuid.UUID) -> bool:
        """Whether to stop: said here, or (asked for twice a second) in the database."""
        watch = self._watches[run_id]
        now = time.monotonic()
        if self._interrupted.is_set():
            watch.stop.set()
        if not watch.stop.is_set() and now - watch.asked_at > _ASK_EVERY_SECONDS:
            watch.asked_at = now
            if self._runs.cancel_requested(run_id):
                watch.stop.set()
        return watch.stop.is_set()

    def check(self, run_id: uuid.UUID) -> None:
        """Raise Cancelled if the run is to stop."""
        if self.cancelled(run_id):
            raise Cancelled("The run was cancelled.", hint=f"Go on with it: tidemill export run retry {run_id.hex[:8]}")

    def sent(self, run_id: uuid.UUID, number: int, count: int, doing: str = "loading") -> None:
        """So many bytes of a chunk are sent."""
        self._watches[run_id].sent[number] = count
        self.report(run_id, doing)

    def report(self, run_id: uuid.UUID, doing: str) -> None:
        """Tell how far the run is."""
        watch = self._watches[run_id]
        if watch.report is untold:
            return
        parts = self._runs.chunks(run_id)
        done = [part for part in parts if part.status == "loaded"]
        planned = sum(part.rows_planned if part.status == "planned" else part.rows_written for part in parts)
        rows = sum(part.rows_loaded for part in done)
        watch.report(RunProgress(doing, rows, planned, len(done), len(parts), sum(watch.sent.values())))
