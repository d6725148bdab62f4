"""Cursors: they lead to where they were made for, and nowhere else; whatever somebody sends, it is told as an error."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill import paging
from tidemill.errors import ConfigError
from tidemill.paging import Page

_KEYS = st.tuples(st.text(), st.integers(), st.datetimes(timezones=st.just(dt.UTC)), st.uuids(), st.text(max_size=20))


@given(_KEYS)
def test_a_cursor_says_what_it_was_given(found: tuple[str, int, dt.datetime, uuid.UUID, str]) -> None:
    *key, which = found
    assert paging.key(paging.cursor(which, key), which, (str, int, dt.datetime, uuid.UUID)) == tuple(key)


def test_a_cursor_fits_one_list() -> None:
    cursor = paging.cursor("runs of daily", ("a",))
    for which, kinds in (("runs of other", (str,)), ("runs of daily", (int,)), ("runs of daily", (str, str))):
        with pytest.raises(ConfigError) as error:
            paging.key(cursor, which, kinds)
        assert error.value.code == "cursor_invalid"


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_what_is_no_cursor_is_told(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        paging.key(text, "runs", (dt.datetime, uuid.UUID))
    assert error.value.code == "cursor_invalid"


@pytest.mark.parametrize(("sort", "found"), [("name", ("name", False)), ("-at", ("at", True))])
def test_a_sort_is_a_word_and_a_direction(sort: str, found: tuple[str, bool]) -> None:
    assert paging.sorted_by(sort, ("name", "at")) == found


@given(st.text())
def test_other_words_are_refused_with_those_that_there_are(sort: str) -> None:
    if sort.removeprefix("-") in {"name", "at"}:
        return
    with pytest.raises(ConfigError) as error:
        paging.sorted_by(sort, ("name", "at"))
    assert (error.value.code, "name, at" in error.value.hint) == ("sort_unknown", True)


def test_a_filter_has_one_of_its_values_or_none() -> None:
    paging.assert_known("status", None, ("ready",))
    paging.assert_known("status", "ready", ("ready",))
    with pytest.raises(ConfigError) as error:
        paging.assert_known("status", "' OR 1=1", ("ready",))
    assert (error.value.code, error.value.hint) == ("status_unknown", "One of: ready.")


def test_a_page_of_what_is_made_of_its_rows() -> None:
    assert Page((1, 2), "next").map(str) == Page(("1", "2"), "next")
