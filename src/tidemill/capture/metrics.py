"""What is counted, for Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import prometheus_client as prometheus
import psutil
from prometheus_client import multiprocess
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
#: In the environment: the file in which the process that moves streams says how they stand.
STREAMS = "TIDEMILL_SERVE_STREAMS"
#: What is said in it is of use for so long.
_TOLD_SECONDS = 60.0
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one process; `text` gives those of all processes of the server, if they share a folder."""

    def __init__(self, more: Callable[[], bytes] = bytes) -> None:
        """`more`: what is told beside them, as Prometheus reads it."""
        self._more = more
        registry = prometheus.CollectorRegistry()
        self._registry = registry
        registry.register(StreamGauges())
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
            registry.register(StreamGauges())
        else:
            registry = self._registry
        return prometheus.generate_latest(registry) + self._more()


class StreamGauges(Collector):
    """How streams stand. To ask takes no database: the process that moves them writes it into a file now and then.

    That one is asleep, or its database is away, if what is in the file is old: nothing is told then.
    """

    def collect(self) -> Iterator[Metric]:
        """Those of the streams that there are."""
        rows = GaugeMetricFamily(
            "tidemill_stream_lag_rows", "Events that were committed and are not in the table.", labels=["export"]
        )
        seconds = GaugeMetricFamily(
            "tidemill_stream_lag_seconds", "How long the oldest of them has waited.", labels=["export"]
        )
        sent = CounterMetricFamily("tidemill_stream_rows", "Rows that were appended.", labels=["export"])
        aside = CounterMetricFamily("tidemill_stream_set_aside", "Rows that were set aside.", labels=["export"])
        now = time.time()
        for stream in _standings():
            named, since = [stream["name"]], stream["since"]
            rows.add_metric(named, stream["waiting"])
            seconds.add_metric(named, max(0.0, now - since) if since else 0.0)
            sent.add_metric(named, stream["sent"])
            aside.add_metric(named, stream["set_aside"])
        yield from (rows, seconds, sent, aside)


def _standings() -> list[dict[str, Any]]:
    """What the file says; nothing if there is none, or if it is old."""
    path = os.environ.get(STREAMS)
    try:
        if path is None or time.time() - Path(path).stat().st_mtime > _TOLD_SECONDS:
            return []
        found: list[dict[str, Any]] = json.loads(Path(path).read_bytes())
    except OSError:
        return []
    return found


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
