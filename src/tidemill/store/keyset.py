"""Pages of a query, found by the key of the row before: as quick at the end of a list as at its beginning.

Of all lists, what is said of names and texts is compared as it is: no character of a filter has a meaning of its own.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from tidemill import paging
from tidemill.paging import Page, Wanted
from tidemill.store.database import Database

Item = TypeVar("Item")
#: By what rows are ordered, and the kind of its values.
Column = tuple[sa.ColumnElement[Any], type]
#: In place of a time that there is not: such rows come first, or last.
NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ALWAYS = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
_PLACE = "place_{}"


@dataclasses.dataclass(frozen=True)
class Order:
    """By what a list is ordered: columns (each with the kind of its values) that together are of one row alone, none of
    which is NULL."""

    columns: Sequence[Column]
    descending: bool = False


@dataclasses.dataclass(frozen=True)
class Sorts:
    """By what a list can be ordered: words, each with a column of which no value is NULL. `tie`: a column of one row
    alone, by which rows are ordered that are equal otherwise; `own`: the sort if none is asked for."""

    words: Mapping[str, Column]
    tie: Column
    own: str = "name"

    def order(self, sort: str) -> Order:
        """The order of a sort: a word, with ``-`` before it downwards.

        Raises
        ------
        ConfigError
            There is no such word.
        """
        word, down = paging.sorted_by(sort or self.own, self.words)
        column = self.words[word]
        return Order([column] if column is self.tie else [column, self.tie], down)


def named(name: sa.ColumnElement[str]) -> Column:
    """By a name, whatever its case."""
    return sa.func.lower(name), str


def moment(at: Any, otherwise: dt.datetime = NEVER) -> Column:
    """By a time, that may be NULL."""
    return sa.func.coalesce(at, sa.literal(otherwise, sa.DateTime(timezone=True))), dt.datetime


def has(text: str, *columns: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether one of these has that text in it, whatever its case."""
    return sa.or_(*(sa.func.strpos(sa.func.lower(column), sa.func.lower(text)) > 0 for column in columns))


def called(name: str, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether that is the name, whatever its case."""
    return sa.func.lower(column) == sa.func.lower(name)


def holds(column: Any) -> sa.ColumnElement[bool]:
    """Whether a JSON column has an object: nothing may be NULL, or null."""
    return sa.func.coalesce(sa.func.jsonb_typeof(column), "null") == "object"


def listed(
    database: Database,
    query: sa.Select[Any],
    sorts: Sorts,
    which: str,
    wanted: Wanted,
    made: Callable[[Mapping[str, Any]], Item],
) -> Page[Item]:
    """A page of a list in the order that is wanted. `which` and `made`: see `page`.

    Raises
    ------
    ConfigError
        It cannot be sorted so; or the cursor is none of this list in this order.
    """
    return page(database, query, sorts.order(wanted.sort), f"{which} {wanted.sort}", wanted, made)


def page(
    database: Database,
    query: sa.Select[Any],
    order: Order,
    which: str,
    wanted: Wanted,
    made: Callable[[Mapping[str, Any]], Item],
) -> Page[Item]:
    """A page of a query without an order. `which`: the list, and by what its rows were chosen; `made`: of a row.

    Raises
    ------
    ConfigError
        The cursor is none of this list.
    """
    placed = _placed(query, order, _after(order, which, wanted), wanted.limit + 1)
    with database.begin() as connection:
        rows = [dict(row._mapping) for row in connection.execute(placed)]
    return _cut(rows, len(order.columns), which, wanted, made)


def merged(
    connection: sa.Connection,
    parts: Sequence[tuple[sa.Select[Any], Order]],
    which: str,
    wanted: Wanted,
    made: Callable[[Mapping[str, Any]], Item],
) -> Page[Item]:
    """A page of several queries with the same columns, as of one list: each gives as many rows as it may have to, found
    by its own index, and these are put in order. The orders are by columns of the same kinds, in the same direction.

    Raises
    ------
    ConfigError
        The cursor is none of this list.
    """
    width, down = len(parts[0][1].columns), parts[0][1].descending
    most = wanted.limit + 1
    placed = [_placed(query, order, _after(order, which, wanted), most).subquery() for query, order in parts]
    joined = sa.union_all(*(sa.select(one) for one in placed)).subquery()
    places = [joined.c[_PLACE.format(number)] for number in range(width)]
    query = sa.select(joined).order_by(*(place.desc() if down else place.asc() for place in places)).limit(most)
    rows = [dict(row._mapping) for row in connection.execute(query)]
    return _cut(rows, width, which, wanted, made)


def _after(order: Order, which: str, wanted: Wanted) -> tuple[Any, ...] | None:
    """The place behind which the page begins."""
    kinds = [kind for _, kind in order.columns]
    return None if wanted.cursor is None else paging.key(wanted.cursor, which, kinds)


def _placed(query: sa.Select[Any], order: Order, after: tuple[Any, ...] | None, most: int) -> sa.Select[Any]:
    """The first rows behind that place, in order, each with its own."""
    columns = [column for column, _ in order.columns]
    if after is not None:
        here = sa.tuple_(*columns)
        there = sa.tuple_(*(sa.literal(value, column.type) for value, column in zip(after, columns, strict=True)))
        query = query.where(here < there if order.descending else here > there)
    query = query.order_by(*(column.desc() if order.descending else column.asc() for column in columns))
    return query.add_columns(*(column.label(_PLACE.format(number)) for number, column in enumerate(columns))).limit(
        most
    )


def _cut(
    rows: Sequence[dict[str, Any]], width: int, which: str, wanted: Wanted, made: Callable[[Mapping[str, Any]], Item]
) -> Page[Item]:
    """The page of these rows, of which one more was asked for than it has."""
    places = [[row.pop(_PLACE.format(number)) for number in range(width)] for row in rows]
    following = paging.cursor(which, places[wanted.limit - 1]) if len(rows) > wanted.limit else None
    return Page(tuple(made(row) for row in rows[: wanted.limit]), following)
