"""Rows of a plan, as they are told."""

from __future__ import annotations

from tidemill.reverse_etl import views


def test_a_run_of_an_older_version_is_told_as_it_was_then() -> None:
    counts = {"added": 3, "updated": 2, "deleted": 0, "unchanged": 9, "retried": 5, "invalid_null": 1}
    found = views.counted({"counts": counts, "pieces": [{"rows": 5}]})
    assert {name: number for name, number in found.items() if number} == {
        "added": 3,
        "updated": 2,
        "unchanged": 9,
        "invalid": 1,
        "extracted": 5,
    }


def test_a_run_without_a_plan_has_no_rows() -> None:
    assert not any(views.counted({}).values())
