"""Lists by pages: what is asked for in the query, and how a page is answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import pydantic
from fastapi import Depends, Query
from pydantic import Field

from tidemill import paging
from tidemill.paging import Page

Row = TypeVar("Row")
Item = TypeVar("Item")
_MOST_LETTERS = 2_000


class Listed(pydantic.BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item] = Field(description="In the order of the list.")
    next: str | None = Field(description="The cursor of the next page; null: this is the last one.")


def _wanted(
    cursor: Annotated[
        str | None, Query(max_length=_MOST_LETTERS, description="What the page before named as `next`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=paging.MOST, description="So many items at most.")] = paging.USUAL,
) -> paging.Wanted:
    return paging.Wanted(cursor, limit)


#: Which page is asked for: a parameter of a route.
Wanted = Annotated[paging.Wanted, Depends(_wanted)]

#: What is searched for in names: a parameter of a route.
Search = Annotated[
    str | None, Query(max_length=100, description="With that text in the name, whatever its case; as it is.")
]


def sorted_by(words: Sequence[str], own: str = "name") -> Any:
    """A dependency: which page is asked for, of a list that can be sorted by these words. `own`: how it is if nothing
    is said."""
    said = f"By what it is sorted; with `-` before it, downwards. Default: `{own}`."
    known = [f"{sign}{word}" for word in words for sign in ("", "-")]
    asked = Query(default=None, max_length=50, description=said, json_schema_extra={"enum": known})

    def wanted(place: Wanted, sort: str | None = asked) -> paging.Wanted:
        return dataclasses.replace(place, sort=sort or "")

    return Depends(wanted)


def of(page: Page[Row], made: Callable[[Row], Item]) -> Listed[Item]:
    """A page as it is answered."""
    return Listed(items=[made(row) for row in page.items], next=page.next)


def cut(
    items: Iterable[Row], wanted: paging.Wanted, which: str, made: Callable[[Row], Item], *filters: Any
) -> Listed[Item]:
    """A page of a short list of what has names, by name. `which`: the list; `filters`: by what it was chosen."""

    def name(row: Row) -> str:
        found: str = row.name  # type: ignore[attr-defined]
        return found

    return of(paging.cut(items, name, f"{which} {filters}", wanted), made)
