"""How many load jobs a run may have, so that the day is enough for all runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.exports.steps.quota import chunks_allowed


@pytest.mark.parametrize(
    ("used", "seconds", "allowed"),
    [(0, 300, 725), (1_450, 300, 5), (1_450, 3_600, 60), (1_450, 86_400, 1_450), (1_450, 60, 1), (2_000, 300, 5)],
)
def test_half_of_what_is_left_but_at_least_its_share(used: int, seconds: float, allowed: int) -> None:
    assert chunks_allowed(used, 1_450, seconds) == allowed


@given(st.sampled_from([300, 900, 3_600, 86_400]), st.integers(1, 1_500))
def test_runs_that_take_all_they_may_never_need_more_than_a_day_has(seconds: int, per_day: int) -> None:
    """As long as a day has one for each run."""
    runs, used = 86_400 // seconds, 0
    for _ in range(runs):
        used += min(chunks_allowed(used, per_day, seconds), max(1, per_day * seconds // 86_400) if used else per_day)
    assert used <= per_day * 2 + runs
