"""The newest rows of a source, so many at most: a look at what an export would send, without reading all there is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tidemill.events.sources import custom_sql
from tidemill.events.sources.custom import CustomSource
from tidemill.events.sources.metadata import MetadataSource

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.sources.source import Selection, Source

#: Of all rows together; the newest one is taken whatever its size.
MOST_BYTES = 8_000_000
#: By how much a window of changes grows that held too few rows.
_GROWS = 8
_PLACE = ("row_change", "row_number")


class Newest:
    """See the module; the methods are those of source.Gathering. Once gathered, the rows stay as they are."""

    ordered, direct = False, True

    def __init__(
        self, source: Source, number: int, newest_by: Sequence[str], stop: Callable[[], bool] = lambda: False
    ) -> None:
        """`newest_by`: columns by which the greatest is the newest, where rows have no place in the order in which they
        came; `stop`: asked while a window is looked for."""
        self._source, self._number, self._by, self._stop = source, number, newest_by, stop

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """A SELECT of them, out of a table of the cursor."""
        import duckdb  # 60 ms

        by = ", ".join(f'"{name}" DESC NULLS LAST' for name in (_PLACE if self._source.ordered else self._by))
        order = f"ORDER BY {by}" if by else ""
        try:
            rows = self._rows(cursor, selection, handed_at)
            cursor.execute(f"CREATE TEMP TABLE newest AS SELECT * FROM ({rows}) {order} LIMIT {self._number}")
        except (duckdb.DataError, duckdb.ProgrammingError) as error:
            if isinstance(self._source, CustomSource):
                raise custom_sql.failed(error) from None
            raise
        before = f"(sum(bytes) OVER ({order} ROWS UNBOUNDED PRECEDING) - bytes)"
        return f"SELECT * FROM newest QUALIFY coalesce({before}, 0) < {MOST_BYTES}"

    def _rows(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """A SELECT that gives them, among others."""
        if isinstance(self._source, MetadataSource):
            return self._source.newest(selection, handed_at, self._number)
        return self._source.gathered(cursor, self._window(cursor, selection), handed_at)

    def _window(self, cursor: duckdb.DuckDBPyConnection, selection: Selection) -> Selection:
        """The last changes, as many as hold enough rows. All of a query that is not bounded: it is about all events."""
        if isinstance(self._source, CustomSource) and not self._source.bounded:
            return selection
        span = 1
        while True:
            after = max(selection.upto - span, selection.after)
            window = dataclasses.replace(selection, after=after)
            if after == selection.after or self._stop() or self._count(cursor, window) >= self._number:
                return window
            span *= _GROWS

    def _count(self, cursor: duckdb.DuckDBPyConnection, window: Selection) -> int:
        """How many rows. Of a query it is not known how many it makes of so many events."""
        if not isinstance(self._source, CustomSource):
            return self._source.count(window)
        return int(cursor.execute(f"SELECT count(*) FROM ({self._source.keys(window)})").fetchall()[0][0])
