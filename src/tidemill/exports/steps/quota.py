"""Keeps BigQuery's quotas of a table: what would go beyond them waits, so that it is never refused for that.

A table may be modified 1,500 times a day by load, copy and query jobs, failed ones included; five metadata updates in
ten seconds, fifty if it is partitioned ("Quotas": Tables). MERGEs and what is streamed do not count against the day.
"""

from __future__ import annotations

import time

from tidemill import logbook
from tidemill.errors import RetryableError
from tidemill.exports.work import Parts, Work

_DAY_SECONDS, _BURST_SECONDS = 86_400.0, 10.0
#: A table that is partitioned may be modified ten times as often at once.
_PARTITIONED = 10
#: What takes longer is not waited for within a run: it is tried again then.
_WAITS_SECONDS = 60.0
_LOOKS_EVERY_SECONDS = 0.2


def spend(parts: Parts, work: Work) -> None:
    """A job is about to load into the run's table: wait until it may.

    Raises
    ------
    RetryableError
        It may not for a while.
    Cancelled
        The run is to stop.
    """
    settings = parts.settings
    burst = settings.table_changes_burst * (_PARTITIONED if work.partition and not work.staged else 1)
    limits = ((settings.table_changes_day, _DAY_SECONDS), (burst, _BURST_SECONDS))
    name, waited = table(work), 0.0
    while (wait := parts.books.modifications.take(name, limits)) > 0:
        if wait > _WAITS_SECONDS:
            raise RetryableError(
                "table_quota",
                f"The table {name} was modified {settings.table_changes_day:,} times in a day; BigQuery allows 1,500.",
                hint="It goes on by itself as time passes. Fewer and larger loads: a longer --interval, or "
                "TIDEMILL_CHUNK_BYTES=1000000000.",
                after=wait,
            )
        parts.watches.check(work.run.id)
        if not waited:
            logbook.info("BigQuery's quota of the table is used up: it waits.", seconds=round(wait, 1))
        time.sleep(min(wait, _LOOKS_EVERY_SECONDS))
        waited = True


def table(work: Work) -> str:
    """The table that the run's chunks are loaded into, as quotas count it."""
    return f"{work.export.project}.{work.export.dataset}.{work.loads_into}"


def chunks_allowed(used: int, per_day: int, interval_seconds: float) -> int:
    """Into how many chunks a run may be cut that appends: half of what is left of the day, but at least its share.

    `used`: modifications of the last day.
    """
    share = int(per_day * interval_seconds // _DAY_SECONDS)
    return max(1, share, (per_day - used) // 2)
