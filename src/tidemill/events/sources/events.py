"""Events: the store's own table, by its snapshots."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from typing import TYPE_CHECKING

from tidemill.events import queries
from tidemill.events.sources.source import Selection, conditions, moment, number_of

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.lake import Lake
    from tidemill.events.ledger import Commit


#: As PostHog's app has them, unless it is told to keep all: "[]" for events other than $autocapture.
_ELEMENTS = "CASE WHEN event = '$autocapture' THEN elements ELSE '[]' END"
_MEASURED_EVERY_SECONDS, _GUESSED_EVERY_SECONDS = 30.0, 2.0


class EventSource:
    """See the module; the methods are those of source.Source."""

    timed = repeatable = ordered = direct = True

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._measuring = threading.Lock()
        self._measured_at, self._compression = -math.inf, queries.GUESSED

    def catch_up(self) -> int:
        """The newest snapshot."""
        return self.position()

    def position(self) -> int:
        """The newest snapshot."""
        return self._lake.position()

    def until(self, moment: dt.datetime, after: int) -> int:
        """The last snapshot of that time."""
        return self._lake.position_at(moment, after)

    def changes(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """The ledger of commits."""
        return self._lake.commits(after, upto, fold)

    def count(self, selection: Selection) -> int:
        """Without conditions the ledger knows, and no event is read."""
        rows = self._lake.total(selection.after, selection.upto)
        if not rows or not conditions(selection):
            return rows
        with self._lake.cursor() as cursor:
            found = cursor.execute(f"SELECT count(*) FROM ({self._selected(selection)})").fetchall()
        return int(found[0][0])

    def keys(self, selection: Selection) -> str:
        """Team and uuid of the events."""
        return f"SELECT team_id AS row_team, uuid AS row_id FROM ({self._selected(selection)})"

    def rows(self, selection: Selection, handed_at: dt.datetime) -> str:
        """Those of the snapshots."""
        added = f"'' AS site_url, {moment(handed_at)} AS bq_ingested_timestamp, team_id AS row_team, uuid AS row_id"
        place = "snapshot_id AS row_change, n AS row_number"
        elements = "" if selection.all_elements else f" REPLACE ({_ELEMENTS} AS elements)"
        return f"SELECT *{elements}, {added}, {place} FROM ({self._selected(selection)})"

    def _selected(self, selection: Selection) -> str:
        """The events as the store has them."""
        where = [self._lake.between(selection.after, selection.upto), *conditions(selection)]
        return f"SELECT *, snapshot_id FROM lake.events WHERE {' AND '.join(where)}"

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """As `rows`: they stream through."""
        return self.rows(selection, handed_at)

    def intervals(self, selection: Selection, every: dt.timedelta) -> list[tuple[int, int]]:
        """By the time of the events."""
        number = number_of(selection, every)
        with self._lake.cursor() as cursor:
            rows = f"SELECT {number} AS number FROM ({self._selected(selection)})"
            return cursor.execute(f"SELECT number, count(*) FROM ({rows}) GROUP BY 1 ORDER BY 1").fetchall()

    def compression(self) -> float:
        """Measured over the store by one at a time, and not often: many small runs ask for it."""
        with self._measuring:
            guessed = self._compression == queries.GUESSED  # an empty store; or its rows are in no file yet
            every = _GUESSED_EVERY_SECONDS if guessed else _MEASURED_EVERY_SECONDS
            if time.monotonic() - self._measured_at > every:
                self._compression = queries.compression(self._lake)
                self._measured_at = time.monotonic()
            return self._compression

    def partitions(self, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:
        """By the time of the events."""
        return queries.partitions(self._lake, after, upto, size)
