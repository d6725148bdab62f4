"""Tables: what is asked of the rows, by what a page's address says."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.paging import Page as ServicePage
from tidemill.paging import Wanted
from tidemill.web.paged import paged
from tidemill.web.table import Asked, Page


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    size: int | None


ROWS = [Row("b", 2), Row("A", None), Row("c", 1), Row("B2", 3)]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (Asked(), "b A c B2"),
        (Asked("name"), "A b B2 c"),
        (Asked("name", descending=True), "c B2 b A"),
        (Asked("size"), "A c b B2"),
        (Asked(filters={"search": "B"}), "b B2"),
        (Asked("name", cursor="3"), "c"),
        (Asked("name", cursor="nonsense"), "A b B2 c"),
        (Asked("name", cursor="-1"), "A b B2 c"),
    ],
)
def test_rows_are_sorted_searched_and_paged(asked: Asked, names: str) -> None:
    page = paged(ROWS, asked, texts=lambda row: row.name)
    assert " ".join(row.name for row in page.rows) == names


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (Asked(), Wanted(None, 50, "")),
        (Asked("name", cursor="c", limit=3), Wanted("c", 3, "name")),
        (Asked("name", descending=True), Wanted(None, 50, "-name")),
    ],
)
def test_a_service_is_asked_for_the_same_page(asked: Asked, wanted: Wanted) -> None:
    assert asked.wanted == wanted


def test_a_page_of_a_service_is_one_of_a_table() -> None:
    assert Page.of(ServicePage((1, 2), "next")) == Page((1, 2), "next")
    assert Page.of(ServicePage((), None)) == Page((), "")


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_pages_follow_one_another_without_a_gap(sizes: list[int], limit: int) -> None:
    rows = [Row(str(number), size) for number, size in enumerate(sizes)]
    found: list[Row] = []
    cursor = ""
    while True:
        page = paged(rows, Asked("size", cursor=cursor, limit=limit))
        found += page.rows
        assert page.total == len(rows)
        if not page.next:
            break
        cursor = page.next
    assert sorted(found, key=lambda row: int(row.name)) == rows
    assert [row.size for row in found] == sorted(sizes)
