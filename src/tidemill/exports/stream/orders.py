"""What is asked of who moves a stream, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a stream has done: rows and bytes that are in the table, and rows that were set aside."""

    rows: int = 0
    bytes: int = 0
    set_aside: int = 0

    def __add__(self, more: Sent) -> Sent:
        """Both."""
        return Sent(self.rows + more.rows, self.bytes + more.bytes, self.set_aside + more.set_aside)


@dataclasses.dataclass(frozen=True)
class StreamProgress:
    """How far a stream is. `rows`, `bytes`: sent since it was begun; `waiting`: events that are committed and not in
    the table; `lag_seconds`: since the oldest of them was acknowledged; `trouble`: why it stands still.

    Both are as of a second ago, mostly. Events that a filter leaves out wait until they were read.
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

    `patient`: wait for more, and go on for ever; else it ends when all is sent that there is. `report` is called many
    times a second, and at least each second or so while nothing moves.
    """

    by: str
    patient: bool
    stopping: Callable[[], bool]
    report: Report


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a stream stands, whoever moves it. `since`: when the first of the `waiting` events was committed, in seconds
    since 1970; `sent`, `set_aside`: rows, by this process; `trouble`: why it stands still, and what to do.
    """

    name: str
    waiting: int
    since: float | None
    sent: int
    set_aside: int
    trouble: str = ""
