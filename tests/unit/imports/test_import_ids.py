"""Ids of people and events, and names of events."""

from __future__ import annotations

import math
import uuid
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tidemill.imports import identity, ids, names
from tidemill.imports.unfit import Unfit

WORDS = ["undefined", "NULL", "na", "N/A", "nil", "infinity", "-Infinity", "inf", "-inf", "NaN", "-nan", "xxxxxx"]
OTHERS = ["", "  ", "0", "-1", " XXXXXX\n", None, 0, 0.0, -1, math.nan, math.inf, "x" * 1025, ["a"], {"id": 1}]


@pytest.mark.parametrize("value", [*WORDS, *OTHERS])
def test_an_id_that_stands_for_nobody_is_refused(value: Any) -> None:
    with pytest.raises(Unfit):
        identity.distinct_id(value)


@pytest.mark.parametrize(
    ("value", "stored"),
    [("a", "a"), (12, "12"), (12.0, "12"), (1.5, "1.5"), ("00", "00"), (" a ", " a "), ("a\0\ud800", "a\ufffd\ufffd")],
)
def test_an_id_is_kept_as_those_of_captured_events_are(value: Any, stored: str) -> None:
    assert identity.distinct_id(value) == stored


def test_a_long_id_is_cut_as_those_of_captured_events_are() -> None:
    assert identity.distinct_id("x" * 1024) == "x" * 200


@pytest.mark.parametrize("value", [None, "", " ", 5, "$set", "$identify", "$create_alias", "$deleted", "x" * 401])
def test_a_name_that_no_event_may_have_is_refused(value: Any) -> None:
    with pytest.raises(Unfit):
        names.event_name(value)


def test_a_name_is_kept() -> None:
    assert names.event_name("Order: placed") == "Order: placed"
    assert names.event_name("x" * 400) == "x" * 400
    assert names.event_name("a\0") == "a\ufffd"


@hypothesis.given(namespace=st.uuids(), name=st.text())
def test_ids_are_uuids_of_version_5(namespace: uuid.UUID, name: str) -> None:
    assert ids.namer(namespace)(name) == str(uuid.uuid5(namespace, name))


def test_an_id_that_is_a_uuid_stays_what_it_is() -> None:
    make = ids.inserted(1)
    assert make("0190B8F0-0000-7000-8000-00000000000A") == "0190b8f0-0000-7000-8000-00000000000a"


def test_other_ids_are_told_apart_by_team_and_by_all_they_say() -> None:
    given = [ids.inserted(team)(value) for team in (1, 2) for value in ("a", "x" * 300, "x" * 301, 5, "6", "\ud800")]
    assert len(set(given)) == len(given)
    assert all(uuid.UUID(one).version == 5 for one in given)
    assert ids.inserted(1)(5) == ids.inserted(1)("5") == ids.inserted(1)(5.0)


@pytest.mark.parametrize("value", [None, "", " ", []])
def test_an_event_without_its_id_is_refused(value: Any) -> None:
    with pytest.raises(Unfit) as refused:
        ids.inserted(1)(value)
    assert refused.value.code == "insert_id_missing"
