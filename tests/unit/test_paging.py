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


def test_a_page_of_what_is_made_of_its_rows() -> None:
    assert Page((1, 2), "next").map(str) == Page(("1", "2"), "next")
