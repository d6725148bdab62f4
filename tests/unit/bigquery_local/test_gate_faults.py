"""Fault plans: what is one, and which requests it meets."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.bigquery.local import faults
from tidemill.bigquery.local.faults import Faults

UPLOAD = "/upload/bigquery/v2/projects/p/jobs"


def fired(plan: list[dict[str, Any]], *requests: tuple[str, str]) -> list[bool]:
    """Which of the requests something happens to."""
    held = Faults()
    held.set(plan)
    return [held.next(*request) is not None for request in requests]


def test_the_nth_request_and_so_many_after_it() -> None:
    plan = [{"path": "/jobs$", "method": "POST", "nth": 2, "times": 2, "fault": "cut"}]
    requests = [("POST", "/a/jobs"), ("GET", "/a/jobs"), ("POST", "/a/jobs"), ("POST", "/b/jobs"), ("POST", "/a/jobs")]
    assert fired(plan, *requests) == [False, False, True, True, False]


def test_every_fault_counts_every_request() -> None:
    plan = [{"path": "x", "fault": "cut"}, {"path": "x", "fault": "status", "nth": 2}]
    held = Faults()
    held.set(plan)
    hits = [held.next("GET", "/x") for _ in range(3)]
    assert [hit.fault if hit else None for hit in hits] == ["cut", "status", None]
    assert [(fault.seen, fault.fired) for fault in held.plan] == [(3, 1), (3, 1)]


def test_a_job_error_waits_for_a_request_that_starts_a_job() -> None:
    plan = [{"path": "bigquery", "fault": "job_error"}]
    requests = [("GET", "/bigquery/v2/projects/p/jobs"), ("POST", "/bigquery/v2/projects/p/jobs/j/cancel")]
    assert fired(plan, *requests, ("PUT", UPLOAD)) == [False, False, True]
    assert fired(plan, *requests, ("POST", "/bigquery/v2/projects/p/queries")) == [False, False, True]


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ({}, "list"),
        (None, "list"),
        ([1], "object"),
        ([{"fault": "cut"}], "needs path"),
        ([{"path": "x"}], "needs fault"),
        ([{"path": "(", "fault": "cut"}], "regular expression"),
        ([{"path": "x", "fault": "explode"}], "explode"),
        ([{"path": "x", "fault": "cut", "colour": 1}], "colour"),
        ([{"path": "x", "fault": "cut", "nth": "1"}], "nth"),
        ([{"path": "x", "fault": "cut", "nth": True}], "nth"),
        ([{"path": "x", "fault": "cut", "after_commit": 1}], "after_commit"),
        ([{"path": "x", "fault": "status", "retry_after": "1"}], "retry_after"),
        ([{"path": "x", "fault": "delay_response", "seconds": None}], "seconds"),
    ],
)
def test_what_is_no_plan_is_said_and_changes_nothing(plan: object, word: str) -> None:
    held = Faults()
    held.set([{"path": "before", "fault": "cut"}])
    with pytest.raises(ValueError, match=word):
        held.set(plan)
    assert [fault.path for fault in held.plan] == ["before"]


def test_a_seed_draws_the_same_plan_and_every_plan_is_one() -> None:
    for draw in (faults.seeded, faults.seeded_stream):
        assert draw(1) == draw(1)
        for seed in range(50):
            Faults().set(draw(seed, 6))
