"""Pages of a list that others change meanwhile: no row is left out, and none comes twice."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import ConfigError
from tidemill.paging import Wanted
from tidemill.store import keyset
from tidemill.store.database import Database
from tidemill.store.keyset import Order, Sorts

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


_META2 = sa.MetaData()
_SIDES = [
    sa.Table(name, _META2, sa.Column("id", sa.Integer), sa.Column("word", sa.Text), sa.Column("number", sa.Integer))
    for name in ("left", "right")
]
_SORTED = st.lists(
    st.tuples(st.sampled_from(["a", "B", "%", "_", "'", ""]), st.none() | st.integers(0, 2)), max_size=12
)


def _sorts(table: sa.Table) -> Sorts:
    words = {"word": (sa.collate(table.c.word, "C"), str), "number": (sa.func.coalesce(table.c.number, -1), int)}
    return Sorts(words, (table.c.id, int), own="word")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SORTED, _SORTED, st.integers(1, 5), st.sampled_from(["word", "-word", "number", "-number"]))
def test_each_row_comes_once_whatever_the_sort(
    database: Database, left: list[Any], right: list[Any], limit: int, sort: str
) -> None:
    with database.begin() as connection:
        _META2.drop_all(connection)
        _META2.create_all(connection)
        for start, table, rows in ((0, _SIDES[0], left), (100, _SIDES[1], right)):
            for number, (word, value) in enumerate(rows, start):
                connection.execute(sa.insert(table).values(id=number, word=word, number=value))
    made = lambda row: (row["id"], row["word"], row["number"])  # noqa: E731
    one = _all(
        lambda wanted: keyset.listed(database, sa.select(_SIDES[0]), _sorts(_SIDES[0]), "x", wanted, made), limit, sort
    )
    assert one == _ordered(enumerate(left), sort)

    def both(wanted: Wanted) -> Any:
        parts = [(sa.select(table), _sorts(table).order(sort)) for table in _SIDES]
        with database.begin() as connection:
            return keyset.merged(connection, parts, "x", wanted, made)

    assert _all(both, limit, sort) == _ordered([*enumerate(left), *enumerate(right, 100)], sort)


def _all(page: Callable[[Wanted], Any], limit: int, sort: str) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        got = page(Wanted(cursor, limit, sort))
        found += got.items
        if (cursor := got.next) is None:
            return found


def _ordered(rows: Iterable[tuple[int, tuple[str, int | None]]], sort: str) -> list[Any]:
    """As they are to come: by the bytes of a word, NULL first, then by their ids."""
    key = {
        "word": lambda row: (row[1].encode(), row[0]),
        "number": lambda row: (-1 if row[2] is None else row[2], row[0]),
    }
    found = [(number, word, value) for number, (word, value) in rows]
    return sorted(found, key=key[sort.removeprefix("-")], reverse=sort.startswith("-"))


def test_the_cursor_of_another_list_is_refused(database: Database) -> None:
    with database.begin() as connection:
        _META.create_all(connection)
    _put(database, {(_BEGAN, uuid.uuid4()) for _ in range(3)})
    cursor = _page(database, None, 2, newest=True).next
    with pytest.raises(ConfigError) as error:
        _page(database, cursor, 2, newest=True, which="y")
    assert error.value.code == "cursor_invalid"
