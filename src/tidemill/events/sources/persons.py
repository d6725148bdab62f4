"""Persons: one row a distinct_id that has one, from the metadata database, by the steps of the identities.

A row belongs to the step that changed it last, its person's or its own. So what changes again while a run moves it
comes with a later run, and only then: a run never holds an older state than one before it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from tidemill.events import duck
from tidemill.events.lake import Commit
from tidemill.events.sources.source import Bounds, Selection, bounds_of, moment

if TYPE_CHECKING:
    from tidemill.events.identity.service import IdentityService
    from tidemill.events.lake import Lake

_ROWS = """
    SELECT d.team_id, d.distinct_id, d.person_id, p.properties, p.version AS person_version,
        d.version AS person_distinct_id_version, p.created_at, p.deleted AS is_deleted,
        octet_length(p.properties) + octet_length(d.distinct_id) + 100 AS bytes, greatest(p.change, d.change) AS change
    FROM {schema}.distinct_ids d JOIN {schema}.persons p ON p.team_id = d.team_id AND p.id = d.person_id
    WHERE greatest(p.change, d.change) <= {upto} AND {since}{team}
"""
_COMPRESSION = 0.4  # measured over persons of a web shop: uuids hardly shrink


class PersonSource:
    """See the module; the methods are those of source.Source."""

    def __init__(self, lake: Lake, identity: IdentityService, dsn: str, schema: str) -> None:
        """`dsn`: libpq keywords of the metadata database; `schema`: where its tables are."""
        self._lake, self._identity, self._dsn, self._schema = lake, identity, dsn, schema

    def catch_up(self) -> int:
        """Applies the events that were committed since."""
        return self._identity.catch_up().change

    def position(self) -> int:
        """The last step."""
        return self._identity.reached().change

    def changes(self, after: int, upto: int) -> list[Commit]:
        """The steps, with the rows that each changed last."""
        now = dt.datetime.now(dt.UTC)
        rows = self._query(Selection(after, upto))
        query = f"SELECT change, count(*), sum(bytes)::BIGINT FROM ({rows}) GROUP BY 1 ORDER BY 1"
        with self._lake.cursor() as cursor:
            found = cursor.execute(query).fetchall()
        return [Commit(change, rows, size, now, None, None) for change, rows, size in found]

    def count(self, selection: Selection) -> int:
        """By the database."""
        with self._lake.cursor() as cursor:
            found = cursor.execute(f"SELECT count(*) FROM ({self._query(selection)})").fetchall()
        return int(found[0][0])

    def keys(self, selection: Selection) -> set[tuple[int, str]]:
        """Team and distinct_id."""
        with self._lake.cursor() as cursor:
            rows = self._query(selection)
            return set(cursor.execute(f"SELECT team_id, distinct_id FROM ({rows})").fetchall())

    def rows(self, selection: Selection, handed_at: dt.datetime) -> str:
        """Those of the steps."""
        return (
            f"SELECT *, {moment(handed_at)} AS bq_updated_timestamp, team_id AS row_team, distinct_id AS row_id "
            f"FROM ({self._query(selection)})"
        )

    def intervals(self, selection: Selection, every: dt.timedelta) -> list[tuple[int, int]]:  # noqa: ARG002 - as in Source
        """None: persons have no time."""
        return []

    def bounds(self, selection: Selection) -> dict[str, Bounds]:
        """The teams and the distinct_ids."""
        ends = (
            "min(team_id) AS first_team, max(team_id) AS last_team, "
            'min(distinct_id COLLATE "C") AS first_id, max(distinct_id COLLATE "C") AS last_id'
        )
        asked = f"SELECT {ends} FROM ({self._asked(selection)}) AS changed"
        with self._lake.cursor() as cursor:
            found = cursor.execute(f"SELECT * FROM {self._answer(asked)}").fetchall()
        return bounds_of(("team_id", "distinct_id"), found[0])

    def compression(self) -> float:
        """Guessed."""
        return _COMPRESSION

    def partitions(self, after: int, upto: int, size: str) -> list[tuple[dt.datetime, int]]:  # noqa: ARG002 - as in Source
        """Persons have no time by which their changes are cut."""
        return []

    def _query(self, selection: Selection) -> str:
        """The rows, as PostgreSQL is asked for them."""
        return f"SELECT * FROM {self._answer(self._asked(selection))}"

    def _asked(self, selection: Selection) -> str:
        team = f" AND d.team_id = {selection.team_id}" if selection.team_id is not None else ""
        after = selection.after
        # Each way by its index; all of them by neither.
        ways = (f"d.change > {after}", f"p.change > {after} AND d.change <= {after}") if after else ("true",)
        return " UNION ALL ".join(
            _ROWS.format(schema=self._schema, upto=selection.upto, since=since, team=team) for since in ways
        )

    def _answer(self, asked: str) -> str:
        return f"postgres_query('{self._database()}', {duck.literal(asked)})"

    def _database(self) -> str:
        """The metadata database, attached to the event store's DuckDB."""
        with self._lake.cursor() as cursor:
            cursor.execute(f"ATTACH IF NOT EXISTS {duck.literal(self._dsn)} AS metadata (TYPE postgres, READ_ONLY)")
        return "metadata"
