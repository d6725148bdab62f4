"""What an export asks of a model: how far there are rows, what each change holds, and the SQL that gives them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Protocol

from tidemill.events import duck
from tidemill.events.ledger import Commit

if TYPE_CHECKING:
    import duckdb


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which rows: changes in (after, upto], optionally a half-open range of event time, names of events and a team.

    A change is what came at once: for events, a snapshot of the event store. Without `all_elements`, only events of
    autocapture keep what they say of elements of a page.
    """

    after: int
    upto: int
    time_from: dt.datetime | None = None
    time_to: dt.datetime | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    team_id: int | None = None
    all_elements: bool = True


class Gathering(Protocol):
    """Rows that can be written down, or sent: all that is asked of a source by who does that."""

    @property
    def ordered(self) -> bool:
        """Whether rows stay as they came, in an order that stays: `rows` has their place then, `row_change` and
        `row_number` (in the change)."""

    @property
    def direct(self) -> bool:
        """Whether `rows` reads them as they lie in the store: to ask for them twice costs little, and they are the
        same."""

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """A SELECT of `Source.rows` by this cursor, in bounded memory: they may lie in a table of the cursor then."""


class Source(Gathering, Protocol):
    """The rows of one model, in the event store's DuckDB."""

    @property
    def timed(self) -> bool:
        """Whether rows have a time, by which they can be told apart into intervals."""

    @property
    def repeatable(self) -> bool:
        """Whether the rows of changes up to any position can be had again as they were then."""

    def catch_up(self) -> int:
        """Bring the rows up to date with the events that are committed. Gives the newest change."""

    def position(self) -> int:
        """The newest change."""

    def until(self, moment: dt.datetime, after: int) -> int:
        """Bring the rows up to date, and give a change up to which all is in that was committed by that moment; `after`
        if there is none since. Of people, who have no such times, the newest."""

    def changes(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """What each change in (after, upto] holds, in order. `fold`: those in a row may become one that together have
        about so many bytes."""

    def count(self, selection: Selection) -> int:
        """How many rows."""

    def keys(self, selection: Selection) -> str:
        """A SELECT of `row_team` and `row_id` of all rows."""

    def rows(self, selection: Selection, handed_at: dt.datetime) -> str:
        """A SELECT of the rows, with the model's columns; with `row_team` and `row_id`, which name one, and `bytes`.

        `handed_at`: when they are handed to BigQuery.
        """

    def intervals(self, selection: Selection, every: dt.timedelta) -> list[tuple[int, int]]:
        """The intervals of event time that hold rows, numbered from `selection.time_from` on, each with how many.

        Empty for a model that is not `timed`.
        """

    def compression(self) -> float:
        """Bytes in Parquet for each byte of text."""

    def partitions(self, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:
        """Starts of the partitions (`size`: hour, day, month, year) of event time that changes touch, with rows."""


EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


def number_of(selection: Selection, every: dt.timedelta) -> str:
    """The number of the interval that `timestamp` lies in."""
    start = int((selection.time_from or EPOCH).timestamp() * 1_000_000)
    return f"((epoch_us(timestamp) - {start}) // {every // dt.timedelta(microseconds=1)})"


def moment(value: dt.datetime) -> str:
    """A TIMESTAMPTZ literal."""
    return f"TIMESTAMPTZ '{value.astimezone(dt.UTC).isoformat(sep=' ')}'"


def conditions(selection: Selection) -> list[str]:
    """Those on time, names and team, over columns `timestamp`, `event` and `team_id`."""
    parts = []
    if selection.time_from is not None:
        parts.append(f"timestamp >= {moment(selection.time_from)}")
    if selection.time_to is not None:
        parts.append(f"timestamp < {moment(selection.time_to)}")
    for names, word in ((selection.include, "IN"), (selection.exclude, "NOT IN")):
        if names:
            parts.append(f"event {word} ({', '.join(duck.literal(name) for name in names)})")
    if selection.team_id is not None:
        parts.append(f"team_id = {selection.team_id}")
    return parts
