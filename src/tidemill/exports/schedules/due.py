"""How the schedule of an export stands, as it is shown."""

from __future__ import annotations

import dataclasses
import datetime as dt


@dataclasses.dataclass(frozen=True)
class Due:
    """`next_at`: when its next run begins, at the earliest; None: never. `queued`: intervals that have ended and whose
    run is not completed. `trouble`: code, message and hint of why the first of them is not. `pause_reason`: the same of
    why it was paused; None if somebody wanted it. `missing`: spans that have ended, and that no run was made for.
    `overdue`: since when something should have been begun, and nobody did.
    """

    next_at: dt.datetime | None
    queued: int
    trouble: dict[str, str] | None
    paused_at: dt.datetime | None
    paused_by: str | None
    pause_reason: dict[str, str] | None
    missing: tuple[tuple[dt.datetime, dt.datetime], ...]
    overdue: dt.datetime | None
