"""Keeps the number of BigQuery jobs that a connection has at work: what would be too many waits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tidemill import logbook
from tidemill.errors import TidemillError
from tidemill.exports.work import Parts, Work

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _MISSES_EVERY_SECONDS = 0.1, 2.0, 5.0


@contextlib.contextmanager
def job(parts: Parts, work: Work) -> Iterator[None]:
    """A job of the run is at work for the time of the block; before that, wait until there is a place for it.

    Raises
    ------
    Cancelled
        The run is to stop.
    """
    connection, most = work.export.connection_id, parts.settings.connection_jobs
    looked_at, pause = 0.0, 0.0
    while (place := parts.books.jobs.take(connection, parts.engine.worker, most)) is None:
        parts.watches.check(work.run.id)
        if not pause:
            logbook.info("Other jobs of the connection are at work: it waits.", most=most)
            parts.watches.report(work.run.id, "waiting for other jobs of the connection")
        if time.monotonic() - looked_at > _MISSES_EVERY_SECONDS:
            looked_at = time.monotonic()
            for worker in parts.books.jobs.workers(connection) - {parts.engine.worker}:
                if parts.engine.bury(worker):
                    parts.books.jobs.abandon(worker)
        pause = min(2 * pause or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        time.sleep(pause)
    try:
        yield
    finally:
        with contextlib.suppress(TidemillError):  # the database is away: it is given back when this worker is over
            parts.books.jobs.free(place)
