"""What is asked of who moves a stream, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class StreamProgress:
    """How far a stream is. `rows`: sent since it was begun; `waiting`: events that are not in the table, as far as is
    known; `lag_seconds`: since the oldest of those that are on their way was acknowledged; `trouble`: why it stands
    still.
    """

    rows: int
    bytes: int
    waiting: int
    lag_seconds: float
    trouble: str = ""


Report = Callable[[StreamProgress], None]


@dataclasses.dataclass(frozen=True)
class Orders:
    """What the one who has a stream moved wants. `stopping`: whether to end once all is settled that was begun.

    `patient`: wait for more, and go on for ever; else it ends when all is sent that there is.
    """

    by: str
    patient: bool
    stopping: Callable[[], bool]
    report: Report
