"""When a sync is due, by its schedule."""

from __future__ import annotations

import datetime as dt

from tidemill.reverse_etl.spec import SyncSpec
from tidemill.store.records_sync import Sync


def first(made: SyncSpec, now: dt.datetime) -> dt.datetime | None:
    """When a sync that is made, or changed, now is due first; None: it is run by hand alone."""
    return None if made.schedule.by_hand else made.schedule.end_after(now)


def following(sync: Sync, now: dt.datetime) -> dt.datetime | None:
    """When a sync is due after a moment, with its jitter."""
    made = SyncSpec.model_validate(sync.spec)
    end = first(made, now)
    return None if end is None else made.schedule.begins_at(str(sync.id), end)
