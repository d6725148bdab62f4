"""Pages of a query, found by the key of the row before: as quick at the end of a list as at its beginning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from tidemill import paging
from tidemill.paging import Page, Wanted
from tidemill.store.database import Database

Item = TypeVar("Item")
_PLACE = "place_{}"


@dataclasses.dataclass(frozen=True)
class Order:
    """By what a list is ordered: columns (each with the kind of its values) that together are of one row alone, none of
    which is NULL."""

    columns: Sequence[tuple[sa.ColumnElement[Any], type]]
    descending: bool = False


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
    columns = [column for column, _ in order.columns]
    if wanted.cursor is not None:
        after = paging.key(wanted.cursor, which, [kind for _, kind in order.columns])
        here = sa.tuple_(*columns)
        there = sa.tuple_(*(sa.literal(value, column.type) for value, column in zip(after, columns, strict=True)))
        query = query.where(here < there if order.descending else here > there)
    query = query.order_by(*(column.desc() if order.descending else column.asc() for column in columns))
    names = [_PLACE.format(number) for number in range(len(columns))]
    query = query.add_columns(*(column.label(name) for column, name in zip(columns, names, strict=True)))
    with database.begin() as connection:
        rows = [dict(row._mapping) for row in connection.execute(query.limit(wanted.limit + 1))]
    places = [[row.pop(name) for name in names] for row in rows]
    more = len(rows) > wanted.limit
    following = paging.cursor(which, places[wanted.limit - 1]) if more else None
    return Page(tuple(made(row) for row in rows[: wanted.limit]), following)
