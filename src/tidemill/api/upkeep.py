"""What a server's background process does now and then beside its work: old runs, lines and sessions are deleted,
dbt projects are read anew, and how much waits is measured for who is asked for metrics."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.app import App

_log = logging.getLogger(__name__)
#: How often old runs and lines are deleted; the first time not at once, for a server begins with other things.
_PRUNES_EVERY_SECONDS, _FIRST_SECONDS = 600.0, 60.0
#: How often is looked for a dbt project, or a run of dbt Cloud, that is due.
_READS_EVERY_SECONDS = 20.0
#: How often the backlog is measured: for at most so much of the time of a core.
_MEASURES_EVERY_SECONDS, _MEASURES_AT_MOST = 15.0, 0.01


def keep_pruning(app: App, stopping: threading.Event, first: float = _FIRST_SECONDS) -> None:
    """Delete runs, lines of runs, sessions and attempts to sign in that are older than they are kept."""
    pause = first
    while not stopping.wait(pause):
        pause = _PRUNES_EVERY_SECONDS
        try:
            if number := app.seeing.prune():
                _log.info("%d lines of runs were older than %d days", number, app.settings.logs_days)
            if number := app.seeing.prune_runs():
                _log.info("%d runs and backfills were over for more than %d days", number, app.settings.runs_days)
            if number := app.event_loads.prune():
                _log.info("%d files of events that were sent are nobody's any more", number)
            app.users.forget_old()
        except TidemillError:  # the database is away: others say so
            continue


def keep_reading(app: App, stopping: threading.Event) -> None:
    """Trigger syncs after runs of dbt Cloud, and read dbt projects anew, when they are due."""
    while not stopping.wait(_READS_EVERY_SECONDS):
        try:
            while app.any_cloud_run_due() and not stopping.is_set() and app.dbt_models.after_cloud():
                continue
            while app.any_dbt_due() and not stopping.is_set() and app.dbt.refresh_due():
                continue
        except TidemillError:
            continue


def keep_measuring(app: App, stopping: threading.Event) -> None:
    """Measure how many events wait for exports, as long as the event store is open here for other things."""
    pause = _MEASURES_EVERY_SECONDS
    while not stopping.wait(pause):
        began = time.thread_time()
        try:
            if "lake" in vars(app):  # to make it takes memory, of which an idle server is to use little
                app.seeing.backlogs.measure()
        except TidemillError:
            continue
        pause = max(_MEASURES_EVERY_SECONDS, (time.thread_time() - began) / _MEASURES_AT_MOST)
