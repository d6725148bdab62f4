"""Pages of a list that others change meanwhile: no row is left out, and none comes twice."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.paging import Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order

_META = sa.MetaData()
_ROWS = sa.Table("paged", _META, sa.Column("at", sa.DateTime(timezone=True)), sa.Column("id", sa.UUID()))
_BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Row = tuple[dt.datetime, uuid.UUID]


def _put(database: Database, rows: set[Row]) -> None:
    with database.begin() as connection:
        if rows:
            connection.execute(sa.insert(_ROWS), [{"at": at, "id": name} for at, name in rows])


def _page(database: Database, cursor: str | None, limit: int, *, newest: bool, which: str = "x") -> Any:
    order = Order([(_ROWS.c["at"], dt.datetime), (_ROWS.c.id, uuid.UUID)], descending=newest)
    made = lambda row: (row["at"], row["id"])  # noqa: E731
    return keyset.page(database, sa.select(_ROWS), order, which, Wanted(cursor, limit), made)


# Few moments: many rows have the same.
_KEY = st.tuples(st.integers(0, 3).map(lambda n: _BEGAN + dt.timedelta(seconds=n)), st.uuids())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(_KEY, max_size=25),
    st.lists(st.tuples(st.sets(_KEY, max_size=4), st.integers(0, 3)), max_size=10),
    st.integers(1, 7),
    st.booleans(),
)
def test_what_stays_comes_once(
    database: Database, first: set[Row], changes: list[tuple[set[Row], int]], limit: int, newest: bool
) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS paged"))
        _META.create_all(connection)
    _put(database, first)
    stays, seen, cursor = set(first), [], None
    for number in range(1_000):
        page = _page(database, cursor, limit, newest=newest)
        seen += page.items
        if (cursor := page.next) is None:
            break
        more, gone = changes[number] if number < len(changes) else (set(), 0)
        _put(database, more - first)
        for row in sorted(stays)[:gone]:
            stays.discard(row)
            with database.begin() as connection:
                connection.execute(sa.delete(_ROWS).where(_ROWS.c.id == row[1]))
    assert len(seen) == len(set(seen)), "a row came twice"
    assert stays <= set(seen), "a row was left out"
    assert seen == sorted(seen, reverse=newest)


def test_the_cursor_of_another_list_is_refused(database: Database) -> None:
    with database.begin() as connection:
        _META.create_all(connection)
    _put(database, {(_BEGAN, uuid.uuid4()) for _ in range(3)})
    cursor = _page(database, None, 2, newest=True).next
    with pytest.raises(ConfigError) as error:
        _page(database, cursor, 2, newest=True, which="y")
    assert error.value.code == "cursor_invalid"
