"""What is counted, for Prometheus."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import prometheus_client as prometheus
import psutil
from prometheus_client import multiprocess

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one process; `text` gives those of all processes of the server, if they share a folder."""

    def __init__(self) -> None:
        registry = prometheus.CollectorRegistry()
        self._registry = registry
        self.requests = prometheus.Counter(
            "tidemill_capture_requests", "Requests, by the API that was asked and the status.", ["api", "status"],
            registry=registry,
        )  # fmt: skip
        self._answers: dict[tuple[str, int], prometheus.Counter] = {}
        self.events = prometheus.Counter(
            "tidemill_capture_events", "Events that were committed, new to the store.", registry=registry
        )
        self.duplicates = prometheus.Counter(
            "tidemill_capture_duplicates", "Events that the store had already.", registry=registry
        )
        self.refused = prometheus.Counter(
            "tidemill_capture_set_aside", "Events that were set aside, by the reason.", ["code"], registry=registry
        )
        self.failures = prometheus.Counter(
            "tidemill_capture_commit_failures", "Commits that failed, by the reason.", ["code"], registry=registry
        )
        self.commits = prometheus.Histogram(
            "tidemill_capture_commit_seconds", "Time of a commit.", buckets=_SECONDS, registry=registry
        )
        self.held = prometheus.Gauge(
            "tidemill_capture_held_bytes", "Bytes of bodies that wait for their commit.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip

    def answered(self, api: str, status: int) -> None:
        """A request was."""
        counter = self._answers.get((api, status))
        if counter is None:
            counter = self._answers[api, status] = self.requests.labels(api, status)
        counter.inc()

    def committed(self, rows: int, duplicates: int, seconds: float) -> None:
        """A commit is durable."""
        self.events.inc(rows)
        self.duplicates.inc(duplicates)
        self.commits.observe(seconds)

    def failed(self, code: str) -> None:
        """A commit was not made."""
        self.failures.labels(code).inc()

    def text(self) -> bytes:
        """As Prometheus reads it."""
        if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            _bury(Path(folder))
            registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return prometheus.generate_latest(registry)
        return prometheus.generate_latest(self._registry)


def _bury(folder: Path) -> None:
    """What processes held that were killed, they hold no more."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            with contextlib.suppress(FileNotFoundError):  # somebody else did it
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def shared_by_processes(folder: Path) -> None:
    """Have all processes that this one begins count in this folder. To be called before the first counter is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
