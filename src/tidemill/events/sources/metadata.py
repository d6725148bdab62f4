"""Rows that lie in the metadata database, with the number of the change that they came with, or changed last by."""

from __future__ import annotations

import abc
import datetime as dt
from typing import TYPE_CHECKING, Any

from tidemill.events import duck
from tidemill.events.ledger import Commit
from tidemill.events.sources.source import Selection, moment

if TYPE_CHECKING:
    import duckdb

    from tidemill.events.identity.service import IdentityService
    from tidemill.events.lake import Lake


class Metadata:
    """The metadata database, which the event store's DuckDB has attached. `schema`: where its tables are."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def answer(self, asked: str) -> str:
        """A table function that asks PostgreSQL."""
        return f"postgres_query('metadata', {duck.literal(asked)})"


class MetadataSource(abc.ABC):
    """The methods are those of source.Source. What a model is, is in its few abstract ones."""

    timed = ordered = direct = False
    compressed = 0.4  #: measured over persons of a web shop: uuids hardly shrink

    def __init__(self, lake: Lake, identity: IdentityService, metadata: Metadata) -> None:
        self._lake, self._identity, self._metadata = lake, identity, metadata

    @property
    @abc.abstractmethod
    def repeatable(self) -> bool:
        """See source.Source."""

    @abc.abstractmethod
    def asked(self, selection: Selection, schema: str) -> str:
        """PostgreSQL's SELECT of the rows, with `bytes` and `change`."""

    @abc.abstractmethod
    def added(self, handed_at: str) -> str:
        """More columns, in DuckDB: `row_team` and `row_id` at least."""

    def catch_up(self) -> int:
        """Applies the events that were committed since."""
        return self._identity.catch_up().change

    def position(self) -> int:
        """The last step."""
        return self._identity.reached().change

    def until(self, moment: dt.datetime, after: int) -> int:
        """The last step: they have no times."""
        return self.catch_up()

    def changes(self, after: int, upto: int, fold: float = 0) -> list[Commit]:
        """The steps, with the rows that each changed last. They are few: each is made of many commits."""
        summed = (
            "SELECT change, count(*) AS rows, sum(bytes)::bigint AS size FROM ({}) AS changed GROUP BY 1 ORDER BY 1"
        )
        found = self._fetched(summed, Selection(after, upto))
        return [Commit(change, rows, size) for change, rows, size in found]

    def count(self, selection: Selection) -> int:
        """By the database."""
        return int(self._fetched("SELECT count(*) FROM ({}) AS changed", selection)[0][0])

    def keys(self, selection: Selection) -> str:
        """Team, and what names the row in it."""
        return f"SELECT row_team, row_id FROM (SELECT *, {self.added('NULL')} FROM ({self._query(selection)}))"

    def rows(self, selection: Selection, handed_at: dt.datetime) -> str:
        """Those of the steps."""
        return f"SELECT *, {self.added(moment(handed_at))} FROM ({self._query(selection)})"

    def newest(self, selection: Selection, handed_at: dt.datetime, number: int) -> str:
        """So many of them, those that changed last: no others come here."""
        asked = self.asked(selection, self._metadata.schema)
        last = f"SELECT * FROM ({asked}) AS changed ORDER BY change DESC LIMIT {number}"
        return f"SELECT *, {self.added(moment(handed_at))} FROM (SELECT * FROM {self._metadata.answer(last)})"

    def gathered(self, cursor: duckdb.DuckDBPyConnection, selection: Selection, handed_at: dt.datetime) -> str:
        """As `rows`: they stream through."""
        return self.rows(selection, handed_at)

    def intervals(self, selection: Selection, every: dt.timedelta) -> list[tuple[int, int]]:
        """None: the rows have no time."""
        return []

    def compression(self) -> float:
        """Guessed."""
        return self.compressed

    def partitions(self, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:
        """The rows have no time by which their changes are cut."""
        return []

    def _fetched(self, asking: str, selection: Selection) -> list[tuple[Any, ...]]:
        """What PostgreSQL itself says of the rows: they need not come here. `asking`: with {} in their place."""
        return self._answered(asking.format(self.asked(selection, self._metadata.schema)))

    def _answered(self, asked: str) -> list[tuple[Any, ...]]:
        with self._lake.cursor() as cursor:
            return cursor.execute(f"SELECT * FROM {self._metadata.answer(asked)}").fetchall()

    def _query(self, selection: Selection) -> str:
        return f"SELECT * FROM {self._metadata.answer(self.asked(selection, self._metadata.schema))}"
