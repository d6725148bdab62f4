"""What the service tells of a test upload, besides its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from tidemill.events.chunks import RejectedRow
from tidemill.exports.trial.texts import Texts

#: So many rows are shown, and so many that would be set aside; and so many characters of a value.
FIRST, _REASONS, _CHARACTERS = 5, 10, 200


@dataclasses.dataclass(frozen=True)
class SetAside:
    """A row that would be set aside, and why."""

    id: str
    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Uploaded:
    """What was sent. `target`: where the export's rows go; `is_there`: that table is there already; `scratch`: where
    these went, which is deleted.

    `rows`: of the export, the newest; `returned`: that were read back, `different` of them not as they were sent; None:
    it did not come so far. `set_aside`: so many would be; `reasons`: the first of them. `first`: some rows, as texts.
    """

    target: str
    is_there: bool
    scratch: str
    rows: int
    returned: int | None
    different: int | None
    set_aside: int
    reasons: tuple[SetAside, ...]
    columns: tuple[str, ...]
    first: tuple[tuple[str | None, ...], ...]
    seconds: float


#: Is told once, when the steps are over, unless no row was read.
Told = Callable[[Uploaded], None]


def untold(_uploaded: Uploaded) -> None:
    """Nobody wants to know."""


def first(rows: Sequence[Texts]) -> tuple[Texts, ...]:
    """Some rows, to look at."""
    return tuple(tuple(None if text is None else text[:_CHARACTERS] for text in row) for row in rows[:FIRST])


def reasons(rejected: Sequence[RejectedRow]) -> tuple[SetAside, ...]:
    """Some of those that would be set aside."""
    return tuple(SetAside(row.id, row.code, row.message) for row in rejected[:_REASONS])
