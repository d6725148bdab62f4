"""Commits that are told together say the same as each by itself."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.events.ledger import Commit, folded

_BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_TIMES = ("committed_at", "first_time", "last_time")


def told(changes: Sequence[Sequence[Any]], fold: float) -> list[Commit]:
    times = ", ".join(f"{name} TIMESTAMPTZ" for name in _TIMES)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE changes (change BIGINT, rows BIGINT, bytes BIGINT, {times})")
        for change in changes:
            connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", list(change))
        return folded(connection, "SELECT * FROM changes", fold)


def at(seconds: int) -> dt.datetime:
    return _BEGIN + dt.timedelta(seconds=seconds)


@st.composite
def ledgers(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        times = sorted(draw(st.lists(st.integers(0, 10_000), min_size=2, max_size=2)))
        rows, size = draw(st.integers(1, 50)), draw(st.integers(0, 500))
        found.append((number * 3 + draw(st.integers(1, 3)), rows, size, at(number * 60), at(times[0]), at(times[1])))
    return draw(st.permutations(found))


@settings(max_examples=40, deadline=None)
@given(changes=ledgers(), fold=st.sampled_from([0, 1, 100, 700, math.inf]))
def test_nothing_is_lost_by_telling_commits_together(changes: list[tuple[Any, ...]], fold: float) -> None:
    left = sorted(changes)
    together = told(changes, fold)
    for commit in together:
        members = [change for change in left if change[0] <= commit.snapshot]
        left = left[len(members) :]
        assert commit == Commit(
            snapshot=members[-1][0],
            rows=sum(member[1] for member in members),
            bytes=sum(member[2] for member in members),
            committed_at=members[-1][3],
            first_time=min(member[4] for member in members),
            last_time=max(member[5] for member in members),
            since=members[0][3],
        )
        assert fold or len(members) == 1
        assert len(members) == 1 or sum(member[2] for member in members[:-1]) <= fold
    assert not left
    assert fold != math.inf or len(together) <= 1


def test_few_stand_for_many() -> None:
    """However long the ledger is, how much is told of it depends on the bytes."""
    times = ", ".join(f"NULL::TIMESTAMPTZ AS {name}" for name in _TIMES)
    with duckdb.connect() as connection:
        many = f"SELECT range AS change, 10 AS rows, 1000 AS bytes, {times} FROM range(1_000_000)"
        found = folded(connection, many, 5_000_000)
    assert len(found) == 200
    assert sum(commit.rows for commit in found) == 10_000_000
    assert found[-1].snapshot == 999_999


@pytest.mark.parametrize("fold", [0, 10, math.inf])
def test_an_empty_range_holds_nothing(fold: float) -> None:
    assert told([], fold) == []
