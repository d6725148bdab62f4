"""Keeps the number of BigQuery jobs that a connection has at work: what would be too many waits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tidemill.errors import TidemillError
from tidemill.exports.work import Parts, Work

_LOOKS_EVERY_SECONDS, _MISSES_EVERY_SECONDS = 0.2, 5.0


@contextlib.contextmanager
def job(parts: Parts, work: Work) -> Iterator[None]:
    """A job of the run is at work for the time of the block; before that, wait until there is a place for it.

    Raises
    ------
    Cancelled
        The run is to stop.
    """
    connection, most, looked_at = work.export.connection_id, parts.settings.connection_jobs, 0.0
    while (place := parts.books.jobs.take(connection, parts.engine.worker, most)) is None:
        parts.watches.check(work.run.id)
        if time.monotonic() - looked_at > _MISSES_EVERY_SECONDS:
            looked_at = time.monotonic()
            for worker in parts.books.jobs.workers(connection) - {parts.engine.worker}:
                if parts.engine.bury(worker):
                    parts.books.jobs.abandon(worker)
        time.sleep(_LOOKS_EVERY_SECONDS)
    try:
        yield
    finally:
        with contextlib.suppress(TidemillError):  # the database is away: it is given back when this worker is over
            parts.books.jobs.free(place)
